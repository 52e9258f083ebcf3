/* What the emulated product library needs of the emulated runtime. */
#ifndef DK_TESTS_CUDART_EMU_H
#define DK_TESTS_CUDART_EMU_H

/* Does the copies that are still queued, as whatever runs on the stream must. */
void dk_cudart_emu_flush(void);
int dk_cuemu_launch(void);
/* A product that has just been launched reads a weight there. */
void dk_cudart_emu_read(const void *p);
/* How many there were since the device was opened. */
__attribute__((visibility("default"))) long dk_cuemu_launches(void);

#endif
