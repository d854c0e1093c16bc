#ifndef AIOT_PROGRAM_H
#define AIOT_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

/* Size of a slot for models, as in `aiot device simulate`. Slots for programs have the same size. */
#define AIOT_HOST_SLOT_BYTES (1024u * 1024u)
#define AIOT_HOST_FLASH_BYTES (2u * 4096u + 2u * AIOT_HOST_SLOT_BYTES)

/* Flash for configurations: two sectors of records, then two slots of one sector each. */
#define AIOT_HOST_CONFIG_BYTES (4u * 4096u)
#define AIOT_HOST_TRUST_BYTES (2u * 4096u)

/* Exit codes. The last two request a restart: once from slot 0 or 1 (40 + slot), or from the active slot. */
enum { AIOT_EXIT_OK = 0, AIOT_EXIT_FAILED = 1, AIOT_EXIT_USAGE = 2, AIOT_EXIT_BUSY = 3, AIOT_EXIT_BOOT_SLOT = 40, AIOT_EXIT_RESTART = 42 };

typedef struct {
  const char *folder;
  /* Slot from which this program was started; -1 = it is the bundled program. */
  int slot;
  bool cbor;
  /* Whether the device continues after its input has ended. */
  bool stay;
  /* Whether the device is a board that uses the guide's protocol. */
  bool compat;
} aiot_program_options;

/* Runs the device until it is stopped. Returns one of the exit codes above. */
int aiot_program_run(const aiot_program_options *options);

/* Runs the board that the folder's `guide.json` describes, until it is stopped or its input ends. */
int aiot_guide_run(const aiot_program_options *options);

/* The computer's bootloader: starts the selected program, and restarts it on request. Returns the last program's exit code. */
int aiot_launcher_run(const aiot_program_options *options, char *const *arguments);

#endif
