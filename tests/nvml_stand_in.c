/* Stands in for libnvidia-ml.so.1 at the ABI: plays what a test has set with play(). No code of NVIDIA's.
 * With -DWITHOUT_COUNTER and -DWITHOUT_OPTIONAL it lacks the symbols that old drivers lack. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_ARGUMENT = 2, GPUS = 4 };

typedef struct {
    long long energy_mj, energy_code, power_mw, power_code, field_code, field_scope, field_type, limit_mw,
        limit_code, mig, mig_code, virtualization, virtualization_code, multi_gpu, multi_gpu_code, handle_code;
} Gpu;

static const Gpu FRESH = {.energy_mj = 1000, .power_mw = 100000, .field_type = 1, .limit_mw = 400000};
static Gpu gpus[GPUS];
static long long gpu_count, init_code, energy_calls, rise_mj;

typedef struct {
    uint32_t field, scope;
    int64_t timestamp, latency;
    int type, code;
    union { double d; unsigned ui; unsigned long long ull; } value;
} FieldValue;

void play_anew(long long count) {
    gpu_count = count, init_code = energy_calls = rise_mj = 0;
    for (int i = 0; i < GPUS; i++) gpus[i] = FRESH;
}

long long play_energy_calls(void) { return energy_calls; }

#define SETTABLE(name) if (strcmp(key, #name) == 0) { gpus[index].name = value; return 1; }
int play(int index, const char *key, long long value) {
    if (strcmp(key, "init_code") == 0) { init_code = value; return 1; }
    if (strcmp(key, "rise_mj") == 0) { rise_mj = value; return 1; } /* each reading shows so much more */
    SETTABLE(energy_mj) SETTABLE(energy_code) SETTABLE(power_mw) SETTABLE(power_code) SETTABLE(field_code)
    SETTABLE(field_scope) SETTABLE(field_type) SETTABLE(limit_mw) SETTABLE(limit_code) SETTABLE(mig)
    SETTABLE(mig_code) SETTABLE(virtualization) SETTABLE(virtualization_code) SETTABLE(multi_gpu)
    SETTABLE(multi_gpu_code) SETTABLE(handle_code)
    return 0;
}

/* A process that is not the test's own gets its part from the environment: "0.mig=1 1.power_mw=70000". */
__attribute__((constructor)) static void play_environment(void) {
    const char *count = getenv("NVML_STAND_IN_GPUS"), *script = getenv("NVML_STAND_IN");
    play_anew(count ? atoi(count) : 2);
    char copy[1000], key[100];
    int index;
    long long value;
    snprintf(copy, sizeof copy, "%s", script ? script : "");
    for (char *part = strtok(copy, " "); part; part = strtok(NULL, " "))
        if (sscanf(part, "%d.%99[^=]=%lld", &index, key, &value) == 3) play(index, key, value);
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return (int)init_code; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == OK ? "Success" : "the stand-in says no"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)gpu_count; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **device) {
    if (index >= gpu_count) return INVALID_ARGUMENT;
    *device = &gpus[index];
    return (int)gpus[index].handle_code;
}

int nvmlDeviceGetUUID(Gpu *gpu, char *uuid, unsigned length) {
    snprintf(uuid, length, "GPU-%08d", (int)(gpu - gpus));
    return OK;
}

int nvmlDeviceGetName(Gpu *gpu, char *name, unsigned length) {
    (void)gpu;
    snprintf(name, length, "Stand-in GPU");
    return OK;
}

int nvmlDeviceGetEnforcedPowerLimit(Gpu *gpu, unsigned *milliwatts) {
    *milliwatts = (unsigned)gpu->limit_mw;
    return (int)gpu->limit_code;
}

#ifndef WITHOUT_COUNTER
int nvmlDeviceGetTotalEnergyConsumption(Gpu *gpu, unsigned long long *millijoules) {
    energy_calls++;
    gpu->energy_mj += rise_mj;
    *millijoules = (unsigned long long)gpu->energy_mj;
    return (int)gpu->energy_code;
}
#endif

int nvmlDeviceGetFieldValues(Gpu *gpu, int count, FieldValue *values) {
    for (int i = 0; i < count; i++) {
        values[i].code = values[i].field == 186 ? (int)gpu->field_code : INVALID_ARGUMENT;
        values[i].scope = (uint32_t)gpu->field_scope;
        values[i].type = (int)gpu->field_type;
        values[i].value.ui = (unsigned)gpu->power_mw;
    }
    return (int)gpu->power_code;
}

#ifndef WITHOUT_OPTIONAL
int nvmlDeviceGetMigMode(Gpu *gpu, unsigned *current, unsigned *pending) {
    *current = *pending = (unsigned)gpu->mig;
    return (int)gpu->mig_code;
}

int nvmlDeviceGetVirtualizationMode(Gpu *gpu, unsigned *mode) {
    *mode = (unsigned)gpu->virtualization;
    return (int)gpu->virtualization_code;
}

int nvmlDeviceGetMultiGpuBoard(Gpu *gpu, unsigned *is_multi) {
    *is_multi = (unsigned)gpu->multi_gpu;
    return (int)gpu->multi_gpu_code;
}
#endif
