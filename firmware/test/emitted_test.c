/*
 * Compares networks emitted by `aiot model quantize --emit c` (firmware/test/fixtures/emitted) with their golden vectors. On
 * RV32, in an emulator that counts instructions, it also prints the number of instructions for each layer.
 */
#include "check.h"
#include "emitted.h"

#include "fixtures/emitted/motor/vectors.inc"
#include "fixtures/emitted/waves/vectors.inc"

enum { LAYERS_MAX = 32 };

static struct {
  const char *name;
  uint32_t instructions;
} layers[LAYERS_MAX];
static int count;
static uint32_t last;

#ifdef __riscv
static inline uint32_t instructions(void) {
  uint32_t now;
  __asm__ volatile("rdinstret %0" : "=r"(now));
  return now;
}
#else
static uint32_t instructions(void) {
  return 0;
}
#endif

void emitted_layer_done(int index, const char *name) {
  const uint32_t now = instructions();
  if (index < LAYERS_MAX) {
    layers[index].name = name;
    layers[index].instructions = now - last;
    count = index + 1;
  }
  last = instructions();
}

static void run(checks *c, const char *name, void (*model)(const int8_t *, int8_t *), int vectors, int taken, int given,
                const int8_t *inputs, const int8_t *outputs) {
  static int8_t output[256];
  for (int at = 0; at < vectors; at++) {
    last = instructions();
    model(inputs + at * taken, output);
    for (int i = 0; i < given; i++) check_equal(c, name, (size_t)at, outputs[at * given + i], output[i]);
  }
#ifdef __riscv
  for (int layer = 0; layer < count; layer++)
    printf("%s, layer %d (%s): %u instructions\n", name, layer, layers[layer].name, (unsigned)layers[layer].instructions);
#endif
}

int main(void) {
  checks c = {0, 0};
  run(&c, "motor", motor_run, motor_vectors, motor_taken, motor_given, motor_inputs, motor_outputs);
  run(&c, "waves", waves_run, waves_vectors, waves_taken, waves_given, waves_inputs, waves_outputs);
  return checks_end(&c);
}
