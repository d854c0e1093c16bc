/*
 * The core on a bare ESP32-C3: runs the golden vectors in the interpreter and in emitted C, and prints on the UART how many
 * output values are correct. It needs only the mask ROM.
 */
#include <stddef.h>
#include <stdint.h>

#include "aiot/model.h"
#include "emitted.h"

typedef struct {
  const char *kind;
  const uint8_t *file;
  size_t bytes;
  const int8_t *input;
  size_t taken;
  const int8_t *output;
  size_t given;
} model_row;

#include "fixtures/emitted/motor/vectors.inc"
#include "fixtures/emitted/waves/vectors.inc"
#include "models.inc"

/* Addresses of functions in the C3's ROM (ESP-IDF, esp32c3.rom.ld). */
#define rom_printf ((int (*)(const char *, ...))0x40000040)
#define rom_delay_us ((void (*)(uint32_t))0x40000050)
#define REGISTER(address) (*(volatile uint32_t *)(address))

static uint8_t memory[8192];
static int8_t answer[256];
static int passed, failed;

/*
 * The ROM leaves the watchdogs running, because it expects the bootloader to reset them (technical reference manual, "Watchdog
 * Timers").
 */
static void stop_watchdogs(void) {
  REGISTER(0x600080A8) = 0x50D83AA1;
  REGISTER(0x60008090) = 0;
  REGISTER(0x600080A8) = 0;
  REGISTER(0x600080B0) = 0x8F1D312A;
  REGISTER(0x600080AC) |= 1u << 31;
  REGISTER(0x600080B0) = 0;
  REGISTER(0x6001F064) = 0x50D83AA1;
  REGISTER(0x6001F048) = 0;
  REGISTER(0x6001F064) = 0;
}

/* Layers are not counted, because the chip lacks the standard instruction counter. */
void emitted_layer_done(int index, const char *name) {
  (void)index;
  (void)name;
}

static void compare(const int8_t *expected, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (expected[i] == answer[i])
      passed++;
    else
      failed++;
  }
}

static void run_emitted(void (*model)(const int8_t *, int8_t *), size_t vectors, size_t taken, size_t given,
                        const int8_t *inputs, const int8_t *outputs) {
  for (size_t at = 0; at < vectors; at++) {
    model(inputs + at * taken, answer);
    compare(outputs + at * given, given);
  }
  rom_printf("emitted: %d answers, the last %d\n", (int)vectors, (int)answer[0]);
}

static void run_interpreted(const model_row *row) {
  aiot_arena arena;
  aiot_model *model = NULL;
  aiot_arena_init(&arena, memory, sizeof memory);
  if (aiot_interpreter.open(row->file, row->bytes, &arena, &model) != AIOT_OK) {
    failed++;
    return;
  }
  for (size_t run = 0; run < MODEL_RUNS; run++) {
    aiot_interpreter.invoke(model, row->input + run * row->taken, answer);
    compare(row->output + run * row->given, row->given);
  }
  rom_printf("interpreted: %d bytes of arena, the last answer %d\n", (int)arena.used, (int)answer[0]);
}

__attribute__((noreturn, used)) static void run(void) {
  extern uint32_t bss_start, bss_end;
  for (uint32_t *word = &bss_start; word < &bss_end; word++) *word = 0;
  stop_watchdogs();
  run_emitted(motor_run, motor_vectors, motor_taken, motor_given, motor_inputs, motor_outputs);
  run_emitted(waves_run, waves_vectors, waves_taken, waves_given, waves_inputs, waves_outputs);
  for (size_t at = 0; at < sizeof model_rows / sizeof model_rows[0]; at++) run_interpreted(&model_rows[at]);
  for (;;) {
    rom_printf("AIOT-C3 %d checks passed, %d failed\n", passed, failed);
    rom_delay_us(500000);
  }
}

__attribute__((naked, section(".text.start"), used)) void start(void) {
  __asm__ volatile("la sp, stack_top\n\tj run");
}
