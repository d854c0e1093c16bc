/* Shared by the update tests: a device that runs version 1, and version 2, which is ready to be offered. */
#ifndef AIOT_UPDATE_BENCH_H
#define AIOT_UPDATE_BENCH_H

#include "check.h"
#include "sim_device.h"

enum { SLOT_SECTORS = 8, SLOT_BYTES = SLOT_SECTORS * 4096, BLOB_BYTES = 20000, LONG_MS = 300000 };

typedef struct {
  checks *c;
  sim_device device;
  signing_key key;
  signing_key other;
  aiot_trust trust;
  uint8_t first[BLOB_BYTES];
  uint8_t second[BLOB_BYTES];
  release v1;
  release v2;
  char envelope[SIM_ENVELOPE_BYTES];
} bench;

/* Opens a device of this kind that runs version 1 (sequence 5, floor 3, issued 2000); version 2 (6, 4, 3000) is offered. */
bench *bench_open(checks *c, aiot_kind kind);
/* A bench whose device encrypts its flash. */
bench *bench_open_encrypted(checks *c, aiot_kind kind);
void bench_close(bench *b);

/* The active version: 1 or 2, 0 = none, -1 = a mix. */
int running_version(bench *b);

/* Expected reports of a trial that passes ('C') or fails ('R'). Firmware also restarts during a trial. */
const char *to(const bench *b, char end);

/* Requests version 2 and runs until the update has ended. */
void wish(bench *b, const char *rollout);

/* Checks the report, the running version, and the record's result. */
void ends(bench *b, const char *what, const char *trace, aiot_phase phase, aiot_code code, int version);

/* Requests the offered version, checks that it is rejected with this code, and offers the valid version 2 again. */
void refused(bench *b, const char *what, aiot_code code);

void offer_release(bench *b, const release *r);

#endif
