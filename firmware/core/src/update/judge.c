#include <inttypes.h>
#include <string.h>

#include "aiot/manifest.h"

/*
 * Whether this device's firmware cannot run the release; `error` then contains the reason. The abilities of new firmware are
 * unknown before its trial.
 */
static bool unable(const aiot_manifest *m, const aiot_traits *traits, aiot_error *error) {
  if (m->network) {
    aiot_error_set(error, AIOT_UPDATE_INTERFACE, "expected a model with its signal processing, got a network alone");
    return true;
  }
  if (m->interface > traits->interface) {
    aiot_error_set(error, AIOT_UPDATE_INTERFACE,
                   "expected a model for firmware of interface %" PRId64 " at most, got one for %" PRId64, traits->interface,
                   m->interface);
    return true;
  }
  /* Decision trees require only their interface; their mode is the type of their input and output. */
  const bool forest = m->interface == AIOT_INTERFACE_FORESTS || m->interface == AIOT_INTERFACE_REJECTING_FORESTS ||
                      m->interface == AIOT_INTERFACE_SOUND_FORESTS || m->interface == AIOT_INTERFACE_DECIDING_FORESTS ||
                      m->interface == AIOT_INTERFACE_SOUND_STREAM_FORESTS;
  if (forest && m->mode == AIOT_MODE_FLOAT32) return false;
  if (m->mode == 0 || (m->mode & traits->modes) != 0) return false;
  aiot_error_set(error, AIOT_UPDATE_INTERFACE, "expected a network of a type that this firmware supports, got another");
  return true;
}

static int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

aiot_code aiot_manifest_judge(const aiot_manifest *m, const aiot_desired *desired, const aiot_standing *standing,
                              const aiot_traits *traits, int64_t now_ms, aiot_error *error) {
  if (m->kind != desired->kind || strcmp(m->name, desired->name) != 0 || m->version != desired->version ||
      m->sequence != desired->sequence) {
    aiot_error_set(error, AIOT_UPDATE_MISMATCH,
                   "expected %s %s@%" PRId64 " (sequence %" PRId64 "), got %s %s@%" PRId64 " (sequence %" PRId64 ")",
                   aiot_kind_name(desired->kind), desired->name, desired->version, desired->sequence, aiot_kind_name(m->kind),
                   m->name, m->version, m->sequence);
    return AIOT_UPDATE_MISMATCH;
  }
  if (!m->for_type) {
    aiot_error_set(error, AIOT_UPDATE_DEVICE_TYPE, "expected %s among the device types, got others", traits->type);
    return AIOT_UPDATE_DEVICE_TYPE;
  }
  if (unable(m, traits, error)) return AIOT_UPDATE_INTERFACE;
  if (m->sequence < standing->floor) {
    aiot_error_set(error, AIOT_UPDATE_FLOOR, "expected a sequence of at least %" PRId64 ", got %" PRId64, standing->floor,
                   m->sequence);
    return AIOT_UPDATE_FLOOR;
  }
  if (m->sequence <= standing->sequence) {
    aiot_error_set(error, AIOT_UPDATE_SEQUENCE, "expected a sequence above %" PRId64 ", got %" PRId64, standing->sequence,
                   m->sequence);
    return AIOT_UPDATE_SEQUENCE;
  }
  if (m->floor > m->sequence) {
    aiot_error_set(error, AIOT_UPDATE_FLOOR, "expected a floor of at most its own sequence %" PRId64 ", got %" PRId64,
                   m->sequence, m->floor);
    return AIOT_UPDATE_FLOOR;
  }
  /* A clock behind the newest signed time is wrong. */
  const int64_t time = greater(greater(standing->newest_signed, m->issued), now_ms);
  if (m->has_expires && m->expires <= greater(time, 0)) {
    aiot_error_set(error, AIOT_UPDATE_EXPIRED, "expected a manifest valid at %" PRId64 ", got one that expired %" PRId64, time,
                   m->expires);
    return AIOT_UPDATE_EXPIRED;
  }
  if (m->artifacts != 1) {
    aiot_error_set(error, AIOT_UPDATE_MISMATCH, "expected one artifact, got %u", (unsigned)m->artifacts);
    return AIOT_UPDATE_MISMATCH;
  }
  if (m->bytes < 1 || m->bytes > standing->slot_bytes) {
    aiot_error_set(error, AIOT_UPDATE_SIZE, "expected 1 to %" PRId64 " bytes, got %" PRId64, standing->slot_bytes, m->bytes);
    return AIOT_UPDATE_SIZE;
  }
  const int64_t lowest = greater(standing->secure_version, traits->secure_version);
  if (m->kind == AIOT_KIND_FIRMWARE && m->secure_version < lowest) {
    aiot_error_set(error, AIOT_UPDATE_SECURE_VERSION, "expected a secure version of at least %" PRId64 ", got %" PRId64, lowest,
                   m->secure_version);
    return AIOT_UPDATE_SECURE_VERSION;
  }
  return AIOT_OK;
}
