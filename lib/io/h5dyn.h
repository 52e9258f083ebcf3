/* The HDF5 library, loaded at first use (base/dynlib.h); h5priv.h includes this
 * for all that call it.  Every name of it that we use is in the lists and is
 * redirected below: one that is missing in the lists does not compile, one
 * that is not redirected does not link. */
#ifndef DK_IO_H5DYN_H
#define DK_IO_H5DYN_H

#ifndef H5_USE_110_API
#define H5_USE_110_API
#endif
#include <hdf5.h>

#include "base/err.h"

#define DK_H5_FUNCTIONS(X) \
    X(H5Aclose) X(H5Acreate_by_name) X(H5Aexists_by_name) X(H5Aget_name) X(H5Aget_space) \
    X(H5Aget_type) X(H5Aopen_by_idx) X(H5Aopen_by_name) X(H5Aread) X(H5Awrite) X(H5Dclose) \
    X(H5Dcreate2) X(H5Dget_chunk_info_by_coord) X(H5Dget_create_plist) X(H5Dget_space) \
    X(H5Dget_storage_size) X(H5Dget_type) X(H5Dopen2) X(H5Dread) X(H5Dread_chunk) \
    X(H5Dset_extent) X(H5Dwrite) X(H5Eclear2) X(H5Eset_auto2) X(H5Ewalk2) X(H5Fclose) \
    X(H5Fcreate) X(H5Fflush) X(H5Fopen) X(H5Gclose) X(H5Gcreate2) X(H5Gget_info) X(H5Gopen2) \
    X(H5Iget_type) X(H5Lexists) X(H5Lget_info) X(H5Lget_name_by_idx) X(H5Oclose) \
    X(H5Oget_info2) X(H5Oget_info_by_name2) X(H5Oopen) X(H5PLset_loading_state) X(H5Pclose) \
    X(H5Pcreate) X(H5Pget_chunk) X(H5Pget_external_count) X(H5Pget_filter2) X(H5Pget_layout) \
    X(H5Pget_nfilters) X(H5Pset_chunk) X(H5Pset_chunk_cache) X(H5Pset_fclose_degree) \
    X(H5Pset_file_locking) X(H5Pset_fill_time) X(H5Pset_filter) X(H5Pset_libver_bounds) \
    X(H5Pset_obj_track_times) X(H5Pset_shuffle) X(H5Sclose) X(H5Screate) X(H5Screate_simple) \
    X(H5Sget_simple_extent_dims) X(H5Sget_simple_extent_ndims) X(H5Sget_simple_extent_type) \
    X(H5Sselect_hyperslab) X(H5Tclose) X(H5Tcommit2) X(H5Tcopy) X(H5Tequal) X(H5Tget_class) \
    X(H5Tget_size) X(H5Tis_variable_str) X(H5Topen2) X(H5Tset_cset) X(H5Tset_ebias) \
    X(H5Tset_fields) X(H5Tset_size) X(H5Tset_strpad) X(H5Zregister) X(H5check_version) \
    X(H5dont_atexit) X(H5open)

#define DK_H5_VARIABLES(X) \
    X(H5P_CLS_DATASET_ACCESS_ID_g) X(H5P_CLS_DATASET_CREATE_ID_g) \
    X(H5P_CLS_DATATYPE_CREATE_ID_g) X(H5P_CLS_FILE_ACCESS_ID_g) X(H5P_CLS_FILE_CREATE_ID_g) \
    X(H5P_CLS_GROUP_CREATE_ID_g) X(H5T_C_S1_g) X(H5T_IEEE_F32LE_g) X(H5T_IEEE_F64LE_g) \
    X(H5T_STD_I32LE_g) X(H5T_STD_I64LE_g) X(H5T_STD_U16LE_g) X(H5T_STD_U32LE_g) X(H5T_STD_U64LE_g) \
    X(H5T_STD_U8LE_g)

/* One pointer for each.  Where a name is a macro for a numbered function
 * (H5Lget_info from 1.12 on) the lists expand to that. */
struct dk_h5dyn {
#define X(name) __typeof__(name) *name;
    DK_H5_FUNCTIONS(X)
    DK_H5_VARIABLES(X)
#undef X
};
extern struct dk_h5dyn dk_h5dyn;

int dk_h5dyn_load(dk_err *err);     /* before any use */

/* h5dyn.c itself needs the plain names. */
#ifndef DK_H5DYN_PLAIN
#define H5Aclose (dk_h5dyn.H5Aclose)
#define H5Acreate_by_name (dk_h5dyn.H5Acreate_by_name)
#define H5Aexists_by_name (dk_h5dyn.H5Aexists_by_name)
#define H5Aget_name (dk_h5dyn.H5Aget_name)
#define H5Aget_space (dk_h5dyn.H5Aget_space)
#define H5Aget_type (dk_h5dyn.H5Aget_type)
#define H5Aopen_by_idx (dk_h5dyn.H5Aopen_by_idx)
#define H5Aopen_by_name (dk_h5dyn.H5Aopen_by_name)
#define H5Aread (dk_h5dyn.H5Aread)
#define H5Awrite (dk_h5dyn.H5Awrite)
#define H5Dclose (dk_h5dyn.H5Dclose)
#define H5Dcreate2 (dk_h5dyn.H5Dcreate2)
#define H5Dget_chunk_info_by_coord (dk_h5dyn.H5Dget_chunk_info_by_coord)
#define H5Dget_create_plist (dk_h5dyn.H5Dget_create_plist)
#define H5Dget_space (dk_h5dyn.H5Dget_space)
#define H5Dget_storage_size (dk_h5dyn.H5Dget_storage_size)
#define H5Dget_type (dk_h5dyn.H5Dget_type)
#define H5Dopen2 (dk_h5dyn.H5Dopen2)
#define H5Dread (dk_h5dyn.H5Dread)
#define H5Dread_chunk (dk_h5dyn.H5Dread_chunk)
#define H5Dset_extent (dk_h5dyn.H5Dset_extent)
#define H5Dwrite (dk_h5dyn.H5Dwrite)
#define H5Eclear2 (dk_h5dyn.H5Eclear2)
#define H5Eset_auto2 (dk_h5dyn.H5Eset_auto2)
#define H5Ewalk2 (dk_h5dyn.H5Ewalk2)
#define H5Fclose (dk_h5dyn.H5Fclose)
#define H5Fcreate (dk_h5dyn.H5Fcreate)
#define H5Fflush (dk_h5dyn.H5Fflush)
#define H5Fopen (dk_h5dyn.H5Fopen)
#define H5Gclose (dk_h5dyn.H5Gclose)
#define H5Gcreate2 (dk_h5dyn.H5Gcreate2)
#define H5Gget_info (dk_h5dyn.H5Gget_info)
#define H5Gopen2 (dk_h5dyn.H5Gopen2)
#define H5Iget_type (dk_h5dyn.H5Iget_type)
#define H5Lexists (dk_h5dyn.H5Lexists)
#ifdef H5Lget_info
#define H5Lget_info1 (dk_h5dyn.H5Lget_info1)
#else
#define H5Lget_info (dk_h5dyn.H5Lget_info)
#endif
#define H5Lget_name_by_idx (dk_h5dyn.H5Lget_name_by_idx)
#define H5Oclose (dk_h5dyn.H5Oclose)
#define H5Oget_info2 (dk_h5dyn.H5Oget_info2)
#define H5Oget_info_by_name2 (dk_h5dyn.H5Oget_info_by_name2)
#define H5Oopen (dk_h5dyn.H5Oopen)
#define H5PLset_loading_state (dk_h5dyn.H5PLset_loading_state)
#define H5Pclose (dk_h5dyn.H5Pclose)
#define H5Pcreate (dk_h5dyn.H5Pcreate)
#define H5Pget_chunk (dk_h5dyn.H5Pget_chunk)
#define H5Pget_external_count (dk_h5dyn.H5Pget_external_count)
#define H5Pget_filter2 (dk_h5dyn.H5Pget_filter2)
#define H5Pget_layout (dk_h5dyn.H5Pget_layout)
#define H5Pget_nfilters (dk_h5dyn.H5Pget_nfilters)
#define H5Pset_chunk (dk_h5dyn.H5Pset_chunk)
#define H5Pset_chunk_cache (dk_h5dyn.H5Pset_chunk_cache)
#define H5Pset_fclose_degree (dk_h5dyn.H5Pset_fclose_degree)
#define H5Pset_file_locking (dk_h5dyn.H5Pset_file_locking)
#define H5Pset_fill_time (dk_h5dyn.H5Pset_fill_time)
#define H5Pset_filter (dk_h5dyn.H5Pset_filter)
#define H5Pset_libver_bounds (dk_h5dyn.H5Pset_libver_bounds)
#define H5Pset_obj_track_times (dk_h5dyn.H5Pset_obj_track_times)
#define H5Pset_shuffle (dk_h5dyn.H5Pset_shuffle)
#define H5Sclose (dk_h5dyn.H5Sclose)
#define H5Screate (dk_h5dyn.H5Screate)
#define H5Screate_simple (dk_h5dyn.H5Screate_simple)
#define H5Sget_simple_extent_dims (dk_h5dyn.H5Sget_simple_extent_dims)
#define H5Sget_simple_extent_ndims (dk_h5dyn.H5Sget_simple_extent_ndims)
#define H5Sget_simple_extent_type (dk_h5dyn.H5Sget_simple_extent_type)
#define H5Sselect_hyperslab (dk_h5dyn.H5Sselect_hyperslab)
#define H5Tclose (dk_h5dyn.H5Tclose)
#define H5Tcommit2 (dk_h5dyn.H5Tcommit2)
#define H5Tcopy (dk_h5dyn.H5Tcopy)
#define H5Tequal (dk_h5dyn.H5Tequal)
#define H5Tget_class (dk_h5dyn.H5Tget_class)
#define H5Tget_size (dk_h5dyn.H5Tget_size)
#define H5Tis_variable_str (dk_h5dyn.H5Tis_variable_str)
#define H5Topen2 (dk_h5dyn.H5Topen2)
#define H5Tset_cset (dk_h5dyn.H5Tset_cset)
#define H5Tset_ebias (dk_h5dyn.H5Tset_ebias)
#define H5Tset_fields (dk_h5dyn.H5Tset_fields)
#define H5Tset_size (dk_h5dyn.H5Tset_size)
#define H5Tset_strpad (dk_h5dyn.H5Tset_strpad)
#define H5Zregister (dk_h5dyn.H5Zregister)
#define H5check_version (dk_h5dyn.H5check_version)
#define H5dont_atexit (dk_h5dyn.H5dont_atexit)
#define H5open (dk_h5dyn.H5open)
#define H5P_CLS_DATASET_ACCESS_ID_g (*dk_h5dyn.H5P_CLS_DATASET_ACCESS_ID_g)
#define H5P_CLS_DATASET_CREATE_ID_g (*dk_h5dyn.H5P_CLS_DATASET_CREATE_ID_g)
#define H5P_CLS_DATATYPE_CREATE_ID_g (*dk_h5dyn.H5P_CLS_DATATYPE_CREATE_ID_g)
#define H5P_CLS_FILE_ACCESS_ID_g (*dk_h5dyn.H5P_CLS_FILE_ACCESS_ID_g)
#define H5P_CLS_FILE_CREATE_ID_g (*dk_h5dyn.H5P_CLS_FILE_CREATE_ID_g)
#define H5P_CLS_GROUP_CREATE_ID_g (*dk_h5dyn.H5P_CLS_GROUP_CREATE_ID_g)
#define H5T_C_S1_g (*dk_h5dyn.H5T_C_S1_g)
#define H5T_IEEE_F32LE_g (*dk_h5dyn.H5T_IEEE_F32LE_g)
#define H5T_IEEE_F64LE_g (*dk_h5dyn.H5T_IEEE_F64LE_g)
#define H5T_STD_I32LE_g (*dk_h5dyn.H5T_STD_I32LE_g)
#define H5T_STD_I64LE_g (*dk_h5dyn.H5T_STD_I64LE_g)
#define H5T_STD_U16LE_g (*dk_h5dyn.H5T_STD_U16LE_g)
#define H5T_STD_U32LE_g (*dk_h5dyn.H5T_STD_U32LE_g)
#define H5T_STD_U64LE_g (*dk_h5dyn.H5T_STD_U64LE_g)
#define H5T_STD_U8LE_g (*dk_h5dyn.H5T_STD_U8LE_g)
#endif

#endif
