/* What the tests of updates share: a device that runs version 1, and version 2 ready to be offered. */
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

/* A device of this kind that runs version 1 (sequence 5, floor 3, issued 2000), and version 2 (6, 4, 3000) on offer. */
bench *bench_open(checks *c, aiot_kind kind);
void bench_close(bench *b);

/* 1 or 2, 0 = none, -1 = a mix. */
int running_version(bench *b);

/* How a trial is reported that ends well ('C'), and one that does not ('R'): firmware starts anew for it. */
const char *to(const bench *b, char end);

/* Version 2 is wished for, until that has come to an end. */
void wish(bench *b, const char *rollout);

/* Checks what was reported, what runs, and what the record says of the end. */
void ends(bench *b, const char *what, const char *trace, aiot_phase phase, aiot_code code, int version);

/* Wishes for what is on offer, checks that it is refused with this code, and puts the good version 2 on offer again. */
void refused(bench *b, const char *what, aiot_code code);

void offer_release(bench *b, const release *r);

#endif
