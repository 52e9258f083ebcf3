#include "backend/cuda/attention.cuh"
bool dk_cu_attend_has_mma(const dk_cu_attend *) { return false; }
int dk_cu_attend_mma(dk_cu_stream, const dk_cu_rag *, const dk_cu_attend *) { return DK_INVALID_VALUE; }
