# The CUDA backend.  libdk_cuda.so is built where there is a CUDA compiler and
# loaded by the tools at run time; its emulation on the CPU, for tests, is built
# anywhere.  Nothing of it goes into libdk.a.
NVCC_AT   := $(firstword $(wildcard $(addsuffix /bin/nvcc,$(CUDA_HOME)) $(addsuffix /nvcc,$(subst :, ,$(PATH))) \
             build/cuda-toolkit/nvidia/cu13/bin/nvcc /usr/local/cuda/bin/nvcc))
NVCC      ?= $(NVCC_AT)
CUDA      ?= $(if $(NVCC),1)
# Asked for once, when it is wanted.
CUDA_INC   = $(eval CUDA_INC := $$(shell $(NVCC) --dryrun -x cu -E /dev/null 2>&1 | sed -n 's/^.. *INCLUDES="-I\([^"]*\)".*/\1/p'))$(CUDA_INC)
CUDA_SO   := $B/lib/libdk_cuda.so
CUDA_EMU  := $B/lib/libdk_cuda_emu.so
CUDA_ARCH ?= 80 90 100
CUDA_PTX  ?= $(lastword $(CUDA_ARCH))
CUDA_C    := $(wildcard lib/backend/cuda/*.c) lib/base/err.c lib/base/mem.c
CUDA_CU   := $(wildcard lib/backend/cuda/*.cu)
EMU_C     := $(CUDA_C) $(wildcard tests/cuemu/*.c)
CUDA_OBJ  := $(CUDA_C:%.c=$B/cuda/%.o) $(CUDA_CU:%.cu=$B/cuda/%.cu.o)
EMU_OBJ   := $(EMU_C:%.c=$B/emu/%.o) $(CUDA_CU:%.cu=$B/emu/%.cu.o)
# Optimising the unrolled attention under the sanitizers takes minutes.
EMU_OPT   := $(OPT)
$(if $(SAN),$(filter $B/emu/lib/backend/cuda/attend%,$(EMU_OBJ)): EMU_OPT := $(subst -O1,-O0,$(OPT)))
# The sanitizers are for what runs on the CPU.
CUDA_OPT  := -O3 -g -fno-math-errno
NVCCFLAGS ?=
NVCC_ALL   = -std=c++17 -O3 -lineinfo -ccbin g++ -Ilib -Xcompiler -fPIC,-fvisibility=hidden,-Wall \
             $(foreach a,$(CUDA_ARCH),-gencode=arch=compute_$a$(comma)code=sm_$a) \
             -gencode=arch=compute_$(CUDA_PTX)$(comma)code=compute_$(CUDA_PTX) $(NVCCFLAGS)

.PHONY: libdk_cuda libdk_cuda_emu
libdk_cuda: $(CUDA_SO)
libdk_cuda_emu: $(CUDA_EMU)
.SECONDARY: $(CUDA_OBJ) $(EMU_OBJ)

$B/cuda/flags: $B/flags
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = "$(NVCC) $(NVCC_ALL)" ] || echo "$(NVCC) $(NVCC_ALL)" > $@
$B/cuda/%.o: %.c $B/flags
	@mkdir -p $(@D)
	@echo "  CC    $< (cuda)"
	@$(CC) -std=gnu17 -D_GNU_SOURCE $(WARN) $(CUDA_OPT) -fopenmp -fPIC -fvisibility=hidden -Ilib \
	    $(if $(NVCC),$(addprefix -isystem ,$(CUDA_INC))) $(CFLAGS) -MMD -MP -c -o $@ $<
$B/cuda/%.cu.o: %.cu $B/cuda/flags
	@mkdir -p $(@D)
	@echo "  NVCC  $<"
	@$(NVCC) $(NVCC_ALL) -MMD -MP -c -o $@ $<
$(CUDA_SO): $(CUDA_OBJ) lib/backend/cuda/exports.map
	@$(if $(NVCC),,echo "there is no CUDA compiler: make cuda-toolkit fetches one" >&2; exit 1)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(NVCC) -shared -ccbin g++ -cudart static -o $@.tmp $(CUDA_OBJ) -Xlinker --as-needed \
	    -Xlinker --version-script=lib/backend/cuda/exports.map -Xcompiler -fopenmp -ldl && mv $@.tmp $@

$B/emu/%.o: %.c $B/flags
	@mkdir -p $(@D)
	@echo "  CC    $< (emulation)"
	@$(CC) -std=gnu17 -D_GNU_SOURCE $(WARN) $(OPT) -DDK_CUEMU -fopenmp -fPIC -fvisibility=hidden -Ilib -Itests/cuemu \
	    $(CFLAGS) -MMD -MP -c -o $@ $<
$B/emu/%.cu.o: %.cu $B/flags
	@mkdir -p $(@D)
	@echo "  CXX   $< (emulation)"
	@g++ -x c++ -std=c++17 '-D_Noreturn=[[noreturn]]' -Wall -Wextra -Werror -Wno-unknown-pragmas $(EMU_OPT) -DDK_CUEMU -fPIC \
	    -fvisibility=hidden -Ilib \
	    -Itests/cuemu $(CFLAGS) -MMD -MP -c -o $@ $<
$(CUDA_EMU): $(EMU_OBJ)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@g++ -shared $(if $(SAN),-fsanitize=address$(comma)undefined) -fopenmp -o $@.tmp $^ -Wl,--as-needed -ldl && mv $@.tmp $@

# The kernels by themselves, run on the CPU.
KERNEL_TEST := $(patsubst %.cpp,$B/emu/%.o,$(wildcard tests/cuemu/*.cpp))
$B/emu/%.o: %.cpp $B/flags
	@mkdir -p $(@D)
	@echo "  CXX   $< (emulation)"
	@g++ -std=c++17 -D_GNU_SOURCE '-D_Noreturn=[[noreturn]]' -Wall -Wextra -Werror -Wno-unknown-pragmas $(OPT) -DDK_CUEMU \
	    -Ilib -Itests/cuemu $(CFLAGS) -MMD -MP -c -o $@ $<
$B/tests/test_cuda_kernels: $(KERNEL_TEST) $(filter %.cu.o,$(EMU_OBJ)) $B/libdk.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@g++ $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# On a card.
$B/bench/bench_gpu: $B/tests/gpu/bench_gpu.o $B/libdk.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
$B/cuda/%.o: %.cpp $B/flags
	@mkdir -p $(@D)
	@echo "  CXX   $< (cuda)"
	@g++ -std=c++17 -D_GNU_SOURCE '-D_Noreturn=[[noreturn]]' -Wall -Wextra $(CUDA_OPT) -Ilib -Itests/cuemu \
	    $(if $(NVCC),$(addprefix -isystem ,$(CUDA_INC))) $(CFLAGS) -MMD -MP -c -o $@ $<
CARD_CU := $(filter %.cu.o,$(CUDA_OBJ))
$B/gpu/test_cuda_kernels: $(patsubst %.cpp,$B/cuda/%.o,$(wildcard tests/cuemu/*.cpp)) $(CARD_CU) $B/libdk.a
$B/gpu/bench_cuda_kernels: $B/cuda/tests/bench/bench_cuda_kernels.o $(CARD_CU)
$B/gpu/%:
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(NVCC) -ccbin g++ -cudart static -o $@ $^ -Xcompiler -fopenmp -lm
GPU_ALL := $B/tests/test_cuda_ops $B/tests/test_cuda_choose $B/gpu/test_cuda_kernels $B/gpu/bench_cuda_kernels $B/bench/bench_gpu
.PHONY: check-gpu bench-gpu gpu-tests
gpu-tests: $(GPU_ALL)
check-gpu: all helpers $(if $(CUDA),$(GPU_ALL))
	@B=$B tests/gpu/check-gpu.sh
bench-gpu: all helpers $(if $(CUDA),$(GPU_ALL))
	@B=$B tests/gpu/bench-gpu.sh

# The compiler alone, from Python wheels, 100 MB; no card and no driver is needed.
CUDA_WHEELS := nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96 \
               nvidia-cuda-cccl==13.0.85
.PHONY: cuda-toolkit
cuda-toolkit:
	python3 -m pip install -q --no-deps --target build/cuda-toolkit $(CUDA_WHEELS)
	ln -sfn lib build/cuda-toolkit/nvidia/cu13/lib64
