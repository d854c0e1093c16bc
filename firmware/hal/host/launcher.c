/* A computer's bootloader for the device program. Like an ESP32's, it tries another slot once and then rolls back. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "aiot/hal.h"
#include "aiot/store.h"
#include "crypto_openssl.h"
#include "flash_file.h"
#include "program.h"
#include "vitals.h"

/* Time after which a trial is considered hung, like a watchdog. It is longer than the minute that a heartbeat may take. */
#define WATCHDOG_MS 90000u
/* A program that has run for this long did not crash at startup. */
#define STEADY_MS 10000u
/* Maximum number of consecutive crashes of programs that are not on trial. After one more, the launcher gives up. */
#define FALLS_MAX 5

extern char **environ;

static volatile sig_atomic_t ending;

static void on_signal(int number) {
  (void)number;
  ending = 1;
}

typedef struct {
  aiot_flash_file file;
  aiot_store store;
  uint8_t scratch[AIOT_SECTOR_BYTES];
} programs;

static bool open_programs(programs *all, const char *folder) {
  char path[600];
  snprintf(path, sizeof path, "%s/firmware.bin", folder);
  return aiot_flash_file_open(&all->file, path, AIOT_HOST_FLASH_BYTES, false) &&
         aiot_store_open_flash(&all->store, &all->file.flash, &aiot_crypto_openssl, all->scratch);
}

/* Returns a memory file with the slot's program, or -1 if the slot does not match its record. */
static int program_in(programs *all, int slot) {
  if (slot < 0) return -1;
  const aiot_content *content = &all->store.record.slot[slot];
  uint8_t digest[AIOT_SHA256_BYTES];
  if (!content->present || !aiot_store_digest(&all->store, slot, content->bytes, digest)) return -1;
  if (memcmp(digest, content->digest, sizeof digest) != 0) return -1;
  const uint8_t *data = aiot_store_map(&all->store, slot, content->bytes);
  const int file = memfd_create("aiot-device", MFD_CLOEXEC);
  if (file < 0 || data == NULL) return -1;
  for (size_t at = 0; at < content->bytes;) {
    const ssize_t written = write(file, data + at, content->bytes - at);
    if (written <= 0) {
      close(file);
      return -1;
    }
    at += (size_t)written;
  }
  return file;
}

/* SHA-256 of the bundled program, which is the launcher's own file; false if it cannot be read. */
static bool own_digest(char hex[2 * AIOT_SHA256_BYTES + 1]) {
  static uint8_t block[65536];
  const aiot_crypto *crypto = &aiot_crypto_openssl;
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  uint8_t digest[AIOT_SHA256_BYTES];
  FILE *file = fopen("/proc/self/exe", "rb");
  if (file == NULL) return false;
  crypto->sha256_begin(crypto->context, state);
  for (size_t bytes; (bytes = fread(block, 1, sizeof block, file)) > 0;) crypto->sha256_update(crypto->context, state, block, bytes);
  const bool whole = feof(file) != 0;
  fclose(file);
  crypto->sha256_end(crypto->context, state, digest);
  for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  return whole;
}

/* Digest that the bundled program had when the device last ran: `program.sha256` beside its flash. */
typedef struct {
  char path[600];
  char own[2 * AIOT_SHA256_BYTES + 1];
  /* Whether a new program has been installed since the device last ran, and the device has not recorded its adoption yet. */
  bool is_new;
} origin;

/* Stores the origin. It is written to a temporary file first, so that the file is never incomplete. */
static void keep_origin(origin *from) {
  char whole[620];
  snprintf(whole, sizeof whole, "%s.new", from->path);
  FILE *file = fopen(whole, "wb");
  if (file == NULL) return;
  const bool written = fprintf(file, "%s\n", from->own) > 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
  if (fclose(file) == 0 && written && rename(whole, from->path) == 0) from->is_new = false;
}

static void read_origin(origin *from, const char *folder) {
  char before[2 * AIOT_SHA256_BYTES + 1] = "";
  snprintf(from->path, sizeof from->path, "%s/program.sha256", folder);
  from->is_new = false;
  if (!own_digest(from->own)) return;
  FILE *file = fopen(from->path, "rb");
  if (file == NULL || fscanf(file, "%64s", before) != 1) keep_origin(from);
  else from->is_new = strcmp(before, from->own) != 0;
  if (file != NULL) fclose(file);
}

/* Starts the program of a slot, or the bundled program if the slot has none. Sets `slot` to the one that was started. */
static pid_t start(const char *folder, origin *from, int wanted, int *slot, const char *boot, char *const *arguments) {
  static programs all;
  const bool opened = open_programs(&all, folder);
  const int active = opened ? all.store.record.active : -1;
  if (from->is_new && active < 0) keep_origin(from);
  /* A new bundled program is treated like one that was flashed by cable: it runs, and the device adopts it. */
  *slot = wanted >= 0 ? wanted : from->is_new ? -1 : active;
  const int file = opened ? program_in(&all, *slot) : -1;
  if (file < 0) *slot = -1;
  aiot_flash_file_close(&all.file);
  char name[8];
  snprintf(name, sizeof name, "%d", *slot);
  setenv("AIOT_DEVICE_SLOT", name, 1);
  setenv(AIOT_BOOT_VARIABLE, boot, 1);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) {
    if (file >= 0) close(file);
    return child;
  }
  /* The program is killed with its launcher, so that killing the launcher simulates a power cut. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(AIOT_EXIT_FAILED);
  if (file >= 0) fexecve(file, arguments, environ);
  else execv("/proc/self/exe", arguments);
  _exit(126);
}

static bool on_trial(const char *folder) {
  static programs all;
  const bool trial = open_programs(&all, folder) && all.store.record.trial.slot >= 0;
  aiot_flash_file_close(&all.file);
  return trial;
}

static void rest(long ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

/* Waits for the program. Ends it if the launcher is stopped or the trial hangs, and sets `hung` then. */
static int wait_for(pid_t child, const char *folder, bool trial, bool *hung) {
  const uint64_t began = aiot_hal_uptime_ms();
  bool told = false;
  bool watching = trial;
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if (ending && !told) {
      kill(child, SIGTERM);
      told = true;
    }
    if (watching && aiot_hal_uptime_ms() - began > WATCHDOG_MS) {
      watching = false;
      *hung = on_trial(folder);
      if (*hung) kill(child, SIGKILL);
    }
    rest(10);
  }
}

int aiot_launcher_run(const aiot_program_options *options, char *const *arguments) {
  const struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  int wanted = -1;
  int falls = 0;
  const char *boot = "power-on";
  origin from;
  read_origin(&from, options->folder);
  for (;;) {
    int slot;
    const bool trial = wanted >= 0;
    const uint64_t began = aiot_hal_uptime_ms();
    const pid_t child = start(options->folder, &from, wanted, &slot, boot, arguments);
    if (child < 0) return AIOT_EXIT_FAILED;
    bool hung = false;
    const int status = wait_for(child, options->folder, trial, &hung);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    boot = hung ? "watchdog" : code >= AIOT_EXIT_BOOT_SLOT || code == AIOT_EXIT_RESTART ? "software" : "panic";
    wanted = -1;
    if (ending) return code < 0 || code >= AIOT_EXIT_BOOT_SLOT ? AIOT_EXIT_OK : code;
    if (code == AIOT_EXIT_BOOT_SLOT || code == AIOT_EXIT_BOOT_SLOT + 1) wanted = code - AIOT_EXIT_BOOT_SLOT;
    /* Regardless of how a program on trial ends, the previous one is started next, to evaluate the result. */
    if (wanted >= 0 || code == AIOT_EXIT_RESTART || trial) continue;
    if (code >= 0 && code <= AIOT_EXIT_BUSY && slot < 0) return code;
    if (code == AIOT_EXIT_OK) return code;
    falls = aiot_hal_uptime_ms() - began > STEADY_MS ? 1 : falls + 1;
    if (falls > FALLS_MAX) return AIOT_EXIT_FAILED;
    rest(100L << falls);
  }
}
