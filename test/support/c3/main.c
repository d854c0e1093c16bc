/*
 * The smallest program that shows that an image was loaded completely. It adds up a table in its data segment, prints the sum, and then
 * counts. It takes the place of the second-stage bootloader (flash offset 0), so only the ROM is needed.
 */
#include <stdint.h>

/* In the C3's ROM (ESP-IDF, esp32c3.rom.ld). */
#define rom_printf ((int (*)(const char *, ...))0x40000040)
#define rom_delay_us ((void (*)(uint32_t))0x40000050)
#define REGISTER(address) (*(volatile uint32_t *)(address))

static const uint8_t table[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53};
static uint32_t scale = 100;
static uint32_t sum;

/* The ROM leaves the watchdogs running, and expects the bootloader to reset them (technical reference manual, "Watchdog Timers"). */
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

__attribute__((noinline)) uint32_t add_up(const uint8_t *values, uint32_t count) {
  uint32_t total = 0;
  for (uint32_t i = 0; i < count; i++) total += values[i];
  return total;
}

__attribute__((noreturn)) void run(void) {
  extern uint32_t bss_start, bss_end;
  for (uint32_t *word = &bss_start; word < &bss_end; word++) *word = 0;
  stop_watchdogs();
  sum += scale * add_up(table, sizeof table);
  rom_printf("AIOT-C3 boot ok sum=%d\n", (int)sum);
  for (int tick = 0;; tick++) {
    rom_printf("tick %d\n", tick);
    rom_delay_us(500000);
  }
}

__attribute__((naked, section(".text.start"))) void start(void) {
  __asm__ volatile("la sp, stack_top\n\tj run");
}
