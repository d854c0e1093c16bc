/* Data that the device signs as proof of a commit. */
#include <string.h>

#include "../base64.h"
#include "members.h"
#include "outbox.h"
#include "prove.h"

#define STATEMENT_BYTES 768
#define BASE64_BYTES(bytes) (((bytes) + 2) / 3 * 4 + 1)

size_t aiot_pem_body(const char *pem, char *out, size_t room) {
  const char *from = strchr(pem, '\n');
  size_t used = 0;
  if (strncmp(pem, "-----BEGIN ", 11) != 0 || from == NULL) return 0;
  for (; *from != '\0' && *from != '-'; from++) {
    if (*from == '\n' || *from == '\r') continue;
    if (used + 1 >= room) return 0;
    out[used++] = *from;
  }
  out[used] = '\0';
  return used;
}

void aiot_device_used(aiot_device *device, aiot_kind kind) { device->used_at_ms[kind] = aiot_device_uptime(device); }

void aiot_device_wished(aiot_device *device, const aiot_desired *desired) {
  device->soak_ms = desired == NULL ? 0 : desired->soak_ms;
  if (desired != NULL) memcpy(device->soaks, desired->rollout, sizeof device->soaks);
}

bool aiot_device_soaked(aiot_device *device) {
  const aiot_update *update = &device->update[device->speaks];
  if (device->setup.signer == NULL || device->soak_ms == 0 || update->phase != AIOT_PHASE_COMMITTED) return false;
  if (!update->has_rollout || strcmp(update->rollout, device->soaks) != 0) return false;
  if ((int64_t)(aiot_device_uptime(device) - device->used_at_ms[device->speaks]) < device->soak_ms) return false;
  device->soak_ms = 0;
  return true;
}

static size_t write_statement(const aiot_device *device, const aiot_content *content, int64_t t, char *out, size_t room) {
  const aiot_update *update = &device->update[device->speaks];
  aiot_writer writer;
  aiot_write_begin(&writer, out, room, AIOT_ENCODING_JSON);
  aiot_write_object(&writer);
  aiot_write_key(&writer, "spec");
  aiot_write_text(&writer, "aiot-proof/1");
  aiot_write_key(&writer, "device");
  aiot_write_text(&writer, device->setup.name);
  aiot_write_key(&writer, "rollout");
  aiot_write_text(&writer, update->rollout);
  aiot_write_key(&writer, "kind");
  aiot_write_text(&writer, aiot_kind_name(device->speaks));
  aiot_device_write_content(&writer, "release", content);
  aiot_device_write_golden(&writer, update);
  aiot_write_key(&writer, "healthyS");
  aiot_write_integer(&writer, (int64_t)((aiot_device_uptime(device) - device->used_at_ms[device->speaks]) / 1000));
  aiot_write_key(&writer, "t");
  aiot_write_integer(&writer, t);
  aiot_write_object_end(&writer);
  return aiot_write_end(&writer);
}

static void text_in_base64(aiot_writer *writer, const char *key, const void *data, size_t bytes) {
  char text[BASE64_BYTES(STATEMENT_BYTES)];
  aiot_base64_encode(data, bytes, text);
  aiot_write_key(writer, key);
  aiot_write_text(writer, text);
}

void aiot_device_write_proof(aiot_writer *writer, const aiot_device *device, const aiot_content *content, int64_t t) {
  const aiot_signer *signer = device->setup.signer;
  const aiot_crypto *crypto = device->setup.crypto;
  const aiot_update *update = &device->update[device->speaks];
  if (signer == NULL || update->phase != AIOT_PHASE_COMMITTED || !update->has_rollout) return;
  if (content == NULL || !content->present) return;
  char statement[STATEMENT_BYTES];
  const size_t bytes = write_statement(device, content, t, statement, sizeof statement);
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  uint8_t digest[AIOT_SHA256_BYTES], signature[AIOT_SIGNATURE_BYTES];
  crypto->sha256_begin(crypto->context, state);
  crypto->sha256_update(crypto->context, state, statement, bytes);
  crypto->sha256_end(crypto->context, state, digest);
  const size_t signature_bytes = bytes == 0 ? 0 : signer->sign_p256(signer->context, digest, signature);
  if (signature_bytes == 0) return;
  /* If the proof does not fit, the message is sent without it. */
  const aiot_writer before = *writer;
  aiot_write_key(writer, "proof");
  aiot_write_object(writer);
  text_in_base64(writer, "payload", statement, bytes);
  aiot_write_key(writer, "certificate");
  aiot_write_text(writer, signer->certificate);
  text_in_base64(writer, "sig", signature, signature_bytes);
  aiot_write_object_end(writer);
  if (writer->failed || writer->room - writer->used < 2) *writer = before;
}
