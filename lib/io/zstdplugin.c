/* The zstd filter as a plugin of the HDF5 library, for h5dump, h5py and others:
 * HDF5_PLUGIN_PATH names the folder that it lies in.  It is linked with libzstd
 * alone, so it fits any copy of HDF5, also the one inside a Python package. */
#define H5_USE_110_API
#include <H5PLextern.h>

#include "io/zstdfilter.h"

H5PL_type_t H5PLget_plugin_type(void) { return H5PL_TYPE_FILTER; }
const void *H5PLget_plugin_info(void) { return dk_zstd_class(); }
