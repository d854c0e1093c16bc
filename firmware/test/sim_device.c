#include "sim_device.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto_openssl.h"

enum { NO_RESTART = AIOT_NO_SLOT - 1 };

static uint64_t uptime_ms(void *context) {
  sim_device *d = context;
  return d->uptime_ms += d->tick_ms;
}

static int64_t now_ms(void *context) { return ((sim_device *)context)->now_ms; }

/* Functions of the platform. */

static void hex_digest(const uint8_t *data, size_t bytes, char out[65]) {
  uint8_t digest[32];
  SHA256(data, bytes, digest);
  for (int i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* The document at each path; blobs are handled separately. */
static const void *document_at(const sim_platform *p, const char *path, char *kind, size_t *bytes) {
  static const char root[] = "/api/v1/trust/root/";
  const bool of_root = strncmp(path, root, sizeof root - 1) == 0;
  *kind = of_root ? 'r' : strcmp(path, "/api/v1/trust/timestamp") == 0 ? 't' : 'm';
  if (*kind == 'm') {
    *bytes = p->manifest_bytes;
    return p->manifest;
  }
  const int version = of_root ? atoi(path + sizeof root - 1) : 0;
  const char *text = !of_root ? p->timestamp : version < 2 || version >= 2 + SIM_ROOTS ? NULL : p->roots[version - 2];
  *bytes = text == NULL ? 0 : strlen(text);
  return text;
}

static bool http_open(void *context, const char *path, uint64_t from) {
  sim_platform *p = &((sim_device *)context)->platform;
  p->requests++;
  if (p->unreachable > 0) {
    p->unreachable--;
    return false;
  }
  p->document = document_at(p, path, &p->open, &p->document_bytes);
  if (strncmp(path, "/api/v1/blobs/sha256:", 21) == 0) p->open = 'b';
  char patch[2 * 32 + 1] = "";
  if (p->patch != NULL) hex_digest(p->patch, p->patch_bytes, patch);
  if (p->open == 'b' && p->patch != NULL && strcmp(path + 21, patch) == 0) p->open = 'p';
  if (p->open == 'b') p->blob_requests++;
  if (p->open == 'p') p->patch_requests++;
  if (p->open == 'r' || p->open == 't') p->trust_requests++;
  p->at = from;
  p->reads = 0;
  p->last_from = from;
  return true;
}

static int32_t http_read(void *context, void *out, size_t bytes) {
  sim_platform *p = &((sim_device *)context)->platform;
  if (p->open == 0) return AIOT_HTTP_BROKEN;
  if (p->refused > 0) {
    p->refused--;
    return AIOT_HTTP_REFUSED;
  }
  if (p->silent) return 0;
  const bool blob = p->open == 'b' || p->open == 'p';
  if (!blob && p->document == NULL) return AIOT_HTTP_MISSING;
  if (blob && p->breaks > 0 && p->reads >= p->break_after) {
    p->breaks--;
    return AIOT_HTTP_BROKEN;
  }
  p->reads++;
  const bool patch = p->open == 'p';
  const uint8_t *data = patch ? p->patch : blob ? p->blob : p->document;
  size_t total = patch ? p->patch_bytes : blob ? p->blob_bytes : p->document_bytes;
  if (blob && p->truncate > 0 && p->truncate < total) total = p->truncate;
  size_t count = bytes < p->chunk ? bytes : p->chunk;
  if (p->drips != 0 && (p->drips == 'b') == blob) {
    ((sim_device *)context)->uptime_ms += p->drip_ms;
    count = 1;
  }
  if (p->at >= total && p->endless == p->open) {
    memset(out, 'x', count);
  } else {
    if (p->at >= total) return AIOT_HTTP_END;
    if (count > total - p->at) count = (size_t)(total - p->at);
    memcpy(out, data + p->at, count);
  }
  p->at += count;
  p->served += count;
  return (int32_t)count;
}

static void http_close(void *context) { ((sim_device *)context)->platform.open = 0; }

/* Functions of the trial. */

static uint8_t first_byte(sim_device *d, int slot) {
  uint8_t byte = 0;
  if (!aiot_store_read(&d->store, slot, 0, &byte, 1)) return 0;
  return byte;
}

static int running(void *context) { return ((sim_device *)context)->running; }

static void trial_begin(void *context, int slot, const aiot_content *content) {
  sim_device *d = context;
  (void)content;
  if (d->setup.kind == AIOT_KIND_FIRMWARE && d->running != slot) d->restart_into = slot;
}

static aiot_trial_state trial_step(void *context, uint32_t *vectors, uint32_t *passed, aiot_error *error) {
  sim_device *d = context;
  if (d->restart_into != NO_RESTART) return AIOT_TRIAL_RUNS;
  const uint8_t does = first_byte(d, d->update.slot);
  if (does == SIM_CRASH) {
    d->flash.off = true;
    return AIOT_TRIAL_RUNS;
  }
  if (d->setup.kind == AIOT_KIND_MODEL) {
    if (does == SIM_SLOW && d->pieces++ < SIM_PIECES) {
      d->uptime_ms += 30;
      return AIOT_TRIAL_WORKS;
    }
    *vectors = does == SIM_EMPTY ? 0 : 3;
    *passed = does == SIM_EMPTY ? 0 : does == SIM_BAD ? 2 : 3;
    return AIOT_TRIAL_PASSED;
  }
  if (does != SIM_BAD) return AIOT_TRIAL_PASSED;
  const bool firmware = d->setup.kind == AIOT_KIND_FIRMWARE;
  aiot_error_set(error, firmware ? AIOT_UPDATE_TRIAL : AIOT_CONFIG_MALFORMED, "it says that it is bad");
  return AIOT_TRIAL_FAILED;
}

static void trial_abandon(void *context, int slot, int active) {
  sim_device *d = context;
  d->abandoned++;
  if (d->setup.kind == AIOT_KIND_FIRMWARE && d->running == slot) d->restart_into = active;
}

static void trial_activate(void *context, int slot, const aiot_content *content) {
  sim_device *d = context;
  (void)content;
  d->active = slot;
  d->activations++;
  if (d->setup.kind == AIOT_KIND_FIRMWARE && d->running != slot) d->restart_into = slot;
}

static bool by_cable(void *context, int slot) {
  (void)slot;
  const sim_device *d = context;
  return d->cable && !d->left;
}

/* Functions of the broker. */

static void report(void *context, const aiot_update *u) {
  sim_device *d = context;
  const size_t at = strlen(d->trace);
  const char letter = aiot_phase_name(u->phase)[0];
  const bool ended = u->phase == AIOT_PHASE_IDLE || u->phase == AIOT_PHASE_ROLLED_BACK;
  d->told_early = d->told_early || (!ended && u->error.code[0] != '\0');
  if (at + 1 < SIM_TRACE && (at == 0 || d->trace[at - 1] != letter)) d->trace[at] = letter;
}

static void heartbeat(void *context, const aiot_update *u) {
  (void)u;
  ((sim_device *)context)->heartbeat_sent = true;
}

static bool acknowledged(void *context) {
  sim_device *d = context;
  const bool deaf = d->setup.kind != AIOT_KIND_MODEL && first_byte(d, d->update.slot) == SIM_DEAF;
  return d->heartbeat_sent && d->broker && !deaf;
}

void sim_device_open(sim_device *d, aiot_kind kind, uint32_t slot_sectors, const aiot_trust *trust) {
  memset(d, 0, sizeof *d);
  const uint32_t bytes = (2 + 2 * slot_sectors) * AIOT_SECTOR_BYTES;
  if (!sim_flash_open(&d->flash, bytes + SIM_TRUST_SECTORS * AIOT_SECTOR_BYTES, AIOT_SECTOR_BYTES)) exit(2);
  d->releases = d->flash.port;
  d->releases.bytes = bytes;
  d->clock = (aiot_clock){.context = d, .uptime_ms = uptime_ms, .now_ms = now_ms};
  d->http = (aiot_http){.context = d, .open = http_open, .read = http_read, .close = http_close};
  d->trial = (aiot_trial){d, kind == AIOT_KIND_FIRMWARE ? running : NULL, trial_begin, trial_step, trial_abandon, trial_activate, by_cable};
  d->line = (aiot_line){.http = &d->http, .memory = d->envelope, .bytes = sizeof d->envelope};
  d->setup = (aiot_update_setup){.kind = kind,
                                 .traits = {SIM_TYPE, 1, AIOT_MODE_INT8},
                                 .store = &d->store,
                                 .clock = &d->clock,
                                 .crypto = &aiot_crypto_openssl,
                                 .trust = trust,
                                 .line = &d->line,
                                 .trial = &d->trial,
                                 .context = d,
                                 .report = report,
                                 .heartbeat = heartbeat,
                                 .acknowledged = acknowledged};
  d->platform.chunk = 1460;
  d->now_ms = -1;
  d->broker = true;
  d->running = AIOT_NO_SLOT;
}

void sim_device_close(sim_device *d) { sim_flash_close(&d->flash); }

static bool open_keeper(sim_device *d) {
  const aiot_keeper_setup setup = {
      .first = d->setup.trust,
      .crypto = d->setup.crypto,
      .clock = &d->clock,
      .line = &d->line,
      .part = {&d->flash.port, d->releases.bytes, SIM_TRUST_SECTORS * AIOT_SECTOR_BYTES},
  };
  d->setup.keeper = &d->keeper;
  return aiot_keeper_open(&d->keeper, &setup) == AIOT_OK;
}

static bool start(sim_device *d) {
  d->restart_into = NO_RESTART;
  d->active = AIOT_NO_SLOT;
  d->line.user = NULL;
  d->platform.open = 0;
  d->heartbeat_sent = false;
  if (d->keeps && !open_keeper(d)) return false;
  return aiot_store_open_flash(&d->store, &d->releases, &aiot_crypto_openssl, d->scratch) &&
         aiot_update_boot(&d->update, &d->setup);
}

bool sim_device_boot(sim_device *d) {
  /* After any restart that the firmware did not request, the bootloader returns to the committed version. */
  sim_flash_power_on(&d->flash);
  if (!aiot_store_open_flash(&d->store, &d->releases, &aiot_crypto_openssl, d->scratch)) return false;
  if (d->setup.kind != AIOT_KIND_FIRMWARE) d->running = AIOT_NO_SLOT;
  else if (!d->cable) d->running = d->store.record.active;
  return start(d);
}

void sim_device_offer(sim_device *d, const release *r, const signing_key *key, char *envelope, size_t room) {
  char payload[2048];
  release_payload(r, payload, sizeof payload);
  d->platform.manifest_bytes = envelope_of(payload, key, 1, envelope, room);
  d->platform.manifest = envelope;
  d->platform.blob = r->blob;
  d->platform.blob_bytes = r->bytes;
}

static aiot_desired wish_for(const release *r, const char *rollout) {
  aiot_desired desired = {.kind = r->kind, .version = r->version, .sequence = r->sequence};
  snprintf(desired.rollout, sizeof desired.rollout, "%s", rollout);
  snprintf(desired.name, sizeof desired.name, "%s", r->name);
  snprintf(desired.manifest, sizeof desired.manifest, "/api/v1/manifests/%d", (int)r->sequence);
  return desired;
}

void sim_device_desire(sim_device *d, const release *r, const char *rollout) {
  const aiot_desired desired = wish_for(r, rollout);
  aiot_update_desire(&d->update, &desired);
}

void sim_device_desire_delta(sim_device *d, const release *r, const release *base, const char *rollout) {
  aiot_desired desired = wish_for(r, rollout);
  desired.has_delta = true;
  desired.delta_bytes = (int64_t)d->platform.patch_bytes;
  SHA256(base->blob, base->bytes, desired.delta_base);
  SHA256(d->platform.patch, d->platform.patch_bytes, desired.delta_digest);
  aiot_update_desire(&d->update, &desired);
}

void sim_device_run(sim_device *d, uint64_t ms) {
  const uint64_t end = d->uptime_ms + ms;
  while (d->uptime_ms < end && !d->update.dead && !d->flash.off) {
    if (d->restart_into != NO_RESTART) {
      d->running = d->restart_into;
      d->cable = false;
      if (!start(d)) return;
      continue;
    }
    if (aiot_update_settled(&d->update)) return;
    if (aiot_update_step(&d->update)) continue;
    d->uptime_ms += 10;
    if (d->now_ms >= 0) d->now_ms += 10;
    if (d->broker_back_ms > 0 && d->uptime_ms >= d->broker_back_ms) d->broker = true;
  }
}

int sim_device_runs(sim_device *d, const release *known, size_t count) {
  const int slot = d->setup.kind == AIOT_KIND_FIRMWARE ? d->running : d->active;
  if (slot == AIOT_NO_SLOT) return -1;
  for (size_t i = 0; i < count; i++) {
    const aiot_content *content = &d->store.record.slot[slot];
    const uint8_t *bytes = aiot_store_map(&d->store, slot, known[i].bytes);
    const bool named = content->present && content->version == known[i].version && content->bytes == known[i].bytes;
    if (named && bytes != NULL && memcmp(bytes, known[i].blob, known[i].bytes) == 0) return (int)i;
  }
  return -2;
}
