#include "aiot/networks.h"

#include <string.h>

enum { LAYOUT = 1, FIXED = 1, ENTERPRISE = 2, HEAD = 3 };

static bool is_printable(const char *text) {
  for (; *text != '\0'; text++)
    if (*text < 0x20 || *text > 0x7e) return false;
  return true;
}

static bool is_hex(const char *text) { return strspn(text, "0123456789abcdefABCDEF") == strlen(text); }

bool aiot_network_valid(const aiot_network *network) {
  if (memchr(network->ssid, '\0', AIOT_SSID_BYTES) == NULL || memchr(network->password, '\0', AIOT_WIFI_PASSWORD_BYTES) == NULL) return false;
  const size_t bytes = strlen(network->password);
  if (network->ssid[0] == '\0') return false;
  if (network->enterprise) return bytes == 0;
  if (bytes == 64) return is_hex(network->password);
  return bytes == 0 || (bytes >= 8 && is_printable(network->password));
}

static bool same(const aiot_network *a, const aiot_network *b) { return strcmp(a->ssid, b->ssid) == 0; }

/* Moves the network to the front, where it replaces an entry of the same name or, if the list is full, the oldest. */
static void put_first(aiot_networks *networks, const aiot_network *network) {
  const aiot_network copy = *network;
  size_t at = 0;
  while (at < networks->count && !same(&networks->known[at], &copy)) at++;
  if (at == networks->count) {
    if (networks->count < AIOT_NETWORKS_MAX) networks->count++;
    else at--;
  }
  memmove(&networks->known[1], &networks->known[0], at * sizeof copy);
  networks->known[0] = copy;
  networks->current = 0;
}

typedef struct {
  const uint8_t *at;
  size_t left;
} reader;

static const uint8_t *take(reader *r, size_t bytes) {
  if (r->left < bytes) return NULL;
  const uint8_t *found = r->at;
  r->at += bytes;
  r->left -= bytes;
  return found;
}

/* Each network: flags, lengths of name and password, both texts, and the fixed addresses if the flag is set. */
static bool read_network(reader *r, aiot_network *network) {
  memset(network, 0, sizeof *network);
  const uint8_t *head = take(r, HEAD);
  if (head == NULL || head[0] > (FIXED | ENTERPRISE) || head[1] >= AIOT_SSID_BYTES || head[2] >= AIOT_WIFI_PASSWORD_BYTES) return false;
  const uint8_t *ssid = take(r, head[1]), *password = ssid == NULL ? NULL : take(r, head[2]);
  if (password == NULL) return false;
  memcpy(network->ssid, ssid, head[1]);
  memcpy(network->password, password, head[2]);
  network->fixed = (head[0] & FIXED) != 0;
  network->enterprise = (head[0] & ENTERPRISE) != 0;
  const uint8_t *addresses = network->fixed ? take(r, sizeof network->addresses) : NULL;
  if (addresses != NULL) memcpy(&network->addresses, addresses, sizeof network->addresses);
  return (addresses != NULL || !network->fixed) && strlen(network->ssid) == head[1] && strlen(network->password) == head[2] &&
         aiot_network_valid(network);
}

static bool read_address(const char *text, uint8_t out[4]) {
  for (int i = 0; i < 4; i++) {
    unsigned value = 0, digits = 0;
    for (; *text >= '0' && *text <= '9' && digits < 3; text++, digits++) value = value * 10 + (unsigned)(*text - '0');
    if (digits == 0 || value > 255 || *text != (i < 3 ? '.' : '\0')) return false;
    out[i] = (uint8_t)value;
    text++;
  }
  return true;
}

static uint32_t number_of(const uint8_t address[4]) {
  return (uint32_t)address[0] << 24 | (uint32_t)address[1] << 16 | (uint32_t)address[2] << 8 | address[3];
}

bool aiot_network_fix(aiot_network *network, const char *address, const char *mask, const char *gateway, const char *dns) {
  aiot_fixed_address *fixed = &network->addresses;
  network->fixed = read_address(address, fixed->address) && read_address(mask, fixed->mask) && read_address(gateway, fixed->gateway) &&
                   read_address(dns[0] == '\0' ? gateway : dns, fixed->dns);
  const uint32_t bits = number_of(fixed->mask), host = ~bits;
  /* The bits of the host follow those of the network, and are neither all 0 nor all 1. */
  if ((host & (host + 1)) != 0 || bits == 0 || host < 3) network->fixed = false;
  if ((number_of(fixed->address) & host) == 0 || (number_of(fixed->address) & host) == host) network->fixed = false;
  if ((number_of(fixed->address) & bits) != (number_of(fixed->gateway) & bits)) network->fixed = false;
  if (!network->fixed) memset(fixed, 0, sizeof *fixed);
  return network->fixed;
}

static bool read_all(aiot_networks *networks, const void *stored, size_t bytes) {
  reader r = {stored, bytes};
  const uint8_t *head = take(&r, 2);
  if (head == NULL || head[0] != LAYOUT || head[1] > AIOT_NETWORKS_MAX) return false;
  for (size_t i = 0; i < head[1]; i++)
    if (!read_network(&r, &networks->known[i])) return false;
  networks->count = head[1];
  return r.left == 0;
}

void aiot_networks_open(aiot_networks *networks, const void *stored, size_t bytes, const aiot_network *provisioned) {
  memset(networks, 0, sizeof *networks);
  if (!read_all(networks, stored, bytes)) memset(networks, 0, sizeof *networks);
  if (provisioned == NULL || !aiot_network_valid(provisioned)) return;
  for (size_t i = 0; i < networks->count; i++)
    if (same(&networks->known[i], provisioned)) return;
  /* A network written by cable remains the last resort. */
  if (networks->count == AIOT_NETWORKS_MAX) networks->count--;
  networks->known[networks->count++] = *provisioned;
}

size_t aiot_networks_write(const aiot_networks *networks, void *out, size_t room) {
  uint8_t *at = out;
  if (room < AIOT_NETWORKS_BYTES) return 0;
  *at++ = LAYOUT;
  *at++ = (uint8_t)networks->count;
  for (size_t i = 0; i < networks->count; i++) {
    const aiot_network *network = &networks->known[i];
    const size_t ssid = strlen(network->ssid), password = strlen(network->password);
    *at++ = (uint8_t)((network->fixed ? FIXED : 0) | (network->enterprise ? ENTERPRISE : 0));
    *at++ = (uint8_t)ssid;
    *at++ = (uint8_t)password;
    memcpy(at, network->ssid, ssid);
    at += ssid;
    memcpy(at, network->password, password);
    at += password;
    if (!network->fixed) continue;
    memcpy(at, &network->addresses, sizeof network->addresses);
    at += sizeof network->addresses;
  }
  return (size_t)(at - (uint8_t *)out);
}

const aiot_network *aiot_networks_current(const aiot_networks *networks) {
  if (networks->trial == AIOT_NETWORK_TRYING) return &networks->candidate;
  return networks->count == 0 ? NULL : &networks->known[networks->current];
}

bool aiot_networks_try(aiot_networks *networks, const aiot_network *network, uint64_t now_ms) {
  if (networks->trial == AIOT_NETWORK_TRYING || !aiot_network_valid(network)) return false;
  networks->candidate = *network;
  networks->trial = AIOT_NETWORK_TRYING;
  networks->trial_ms = now_ms;
  networks->failures = 0;
  networks->joined = false;
  return true;
}

static void end_trial(aiot_networks *networks, aiot_network_trial verdict) {
  networks->trial = verdict;
  networks->failures = 0;
  /* The password of a network that does not work is not kept in memory. */
  memset(&networks->candidate, 0, sizeof networks->candidate);
}

void aiot_networks_joined(aiot_networks *networks) {
  networks->joined = true;
  networks->failures = 0;
  if (networks->trial == AIOT_NETWORK_TRYING) {
    put_first(networks, &networks->candidate);
    networks->dirty = true;
    end_trial(networks, AIOT_NETWORK_WORKS);
  } else if (networks->count > 0 && networks->current > 0) {
    put_first(networks, &networks->known[networks->current]);
    networks->dirty = true;
  }
}

void aiot_networks_failed(aiot_networks *networks) {
  networks->joined = false;
  if (++networks->failures < AIOT_NETWORK_ATTEMPTS) return;
  if (networks->trial == AIOT_NETWORK_TRYING) {
    end_trial(networks, AIOT_NETWORK_FAILED);
    return;
  }
  networks->failures = 0;
  if (networks->count > 0) networks->current = (networks->current + 1) % networks->count;
}

bool aiot_networks_step(aiot_networks *networks, uint64_t now_ms) {
  if (networks->trial != AIOT_NETWORK_TRYING || now_ms - networks->trial_ms < AIOT_NETWORK_TRIAL_MS) return false;
  end_trial(networks, AIOT_NETWORK_FAILED);
  networks->joined = false;
  return true;
}
