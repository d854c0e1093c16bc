#include "aiot/improv.h"

#include <stdio.h>
#include <string.h>

enum { TYPE_STATE = 1, TYPE_ERROR = 2, TYPE_COMMAND = 3, TYPE_RESULT = 4 };
enum { COMMAND_WIFI = 1, COMMAND_STATE = 2, COMMAND_INFO = 3, COMMAND_NETWORKS = 4 };
enum { STATE_READY = 2, STATE_PROVISIONING = 3, STATE_PROVISIONED = 4 };
enum { ERROR_NONE = 0, ERROR_INVALID = 1, ERROR_UNKNOWN_COMMAND = 2, ERROR_UNABLE_TO_CONNECT = 3 };

static const uint8_t header[] = {'I', 'M', 'P', 'R', 'O', 'V', 1};
enum { TYPE_AT = sizeof header, LENGTH_AT, DATA_AT };

static uint8_t sum_of(const uint8_t *bytes, size_t count) {
  unsigned sum = 0;
  for (size_t i = 0; i < count; i++) sum += bytes[i];
  return (uint8_t)sum;
}

/* A packet with a line feed before and after it, because some readers look only at line starts. */
typedef uint8_t framed[AIOT_IMPROV_PACKET_BYTES + 2];

/* Sends the packet whose data is already in place. */
static void send_packet(const aiot_improv *improv, framed out, uint8_t type, size_t length) {
  uint8_t *packet = out + 1;
  out[0] = '\n';
  memcpy(packet, header, sizeof header);
  packet[TYPE_AT] = type;
  packet[LENGTH_AT] = (uint8_t)length;
  packet[DATA_AT + length] = sum_of(packet, DATA_AT + length);
  packet[DATA_AT + length + 1] = '\n';
  improv->port->send(improv->port->context, out, DATA_AT + length + 3);
}

static void send_byte(const aiot_improv *improv, uint8_t type, uint8_t value) {
  framed out;
  out[1 + DATA_AT] = value;
  send_packet(improv, out, type, 1);
}

/* Sends texts as the result of a command. Texts that do not fit are truncated. */
static void send_result(const aiot_improv *improv, uint8_t command, const char *const *text, size_t count) {
  framed out;
  uint8_t *data = out + 1 + DATA_AT;
  size_t used = 2;
  for (size_t i = 0; i < count; i++) {
    /* Reserves a byte for the length of each text that follows. */
    const size_t room = 255 - used - (count - i), bytes = strlen(text[i]), fits = bytes < room ? bytes : room;
    data[used++] = (uint8_t)fits;
    memcpy(data + used, text[i], fits);
    used += fits;
  }
  data[0] = command;
  data[1] = (uint8_t)(used - 2);
  send_packet(improv, out, TYPE_RESULT, used);
}

static void send_url(const aiot_improv *improv, uint8_t command) {
  const char *const url[] = {improv->about.url};
  send_result(improv, command, url, improv->about.url[0] == '\0' ? 0 : 1);
}

static void send_state(const aiot_improv *improv) {
  if (improv->networks->trial == AIOT_NETWORK_TRYING) send_byte(improv, TYPE_STATE, STATE_PROVISIONING);
  else send_byte(improv, TYPE_STATE, improv->networks->joined ? STATE_PROVISIONED : STATE_READY);
}

/* Copies a length-prefixed text. False if it exceeds the data or `room`, or contains a NUL. */
static bool take_text(const uint8_t **at, const uint8_t *end, char *out, size_t room) {
  if (*at == end) return false;
  const size_t bytes = *(*at)++;
  if (bytes > (size_t)(end - *at) || bytes >= room || memchr(*at, '\0', bytes) != NULL) return false;
  memcpy(out, *at, bytes);
  out[bytes] = '\0';
  *at += bytes;
  return true;
}

static bool same(const aiot_network *a, const aiot_network *b) { return strcmp(a->ssid, b->ssid) == 0 && strcmp(a->password, b->password) == 0; }

static void join(aiot_improv *improv, const uint8_t *data, size_t length, uint64_t now_ms) {
  aiot_network network;
  memset(&network, 0, sizeof network);
  const uint8_t *at = data, *end = data + length;
  const bool whole = take_text(&at, end, network.ssid, sizeof network.ssid) && take_text(&at, end, network.password, sizeof network.password) && at == end;
  aiot_networks *networks = improv->networks;
  /* If the reply was lost, the same settings arrive again. */
  const bool again = networks->trial == AIOT_NETWORK_TRYING && same(&networks->candidate, &network);
  const bool begun = whole && (again || aiot_networks_try(networks, &network, now_ms));
  memset(&network, 0, sizeof network);
  if (!begun) {
    send_byte(improv, TYPE_ERROR, ERROR_INVALID);
    return;
  }
  improv->trying = true;
  send_byte(improv, TYPE_ERROR, ERROR_NONE);
  send_state(improv);
  if (!again) improv->port->leave(improv->port->context);
}

static void obey(aiot_improv *improv, const uint8_t *data, size_t length, uint64_t now_ms) {
  if (length < 2 || data[1] != length - 2) {
    send_byte(improv, TYPE_ERROR, ERROR_INVALID);
    return;
  }
  const uint8_t command = data[0];
  if (command == COMMAND_WIFI) {
    join(improv, data + 2, length - 2, now_ms);
    return;
  }
  if (command < COMMAND_WIFI || command > COMMAND_NETWORKS || length > 2) {
    send_byte(improv, TYPE_ERROR, command < COMMAND_WIFI || command > COMMAND_NETWORKS ? ERROR_UNKNOWN_COMMAND : ERROR_INVALID);
    return;
  }
  send_byte(improv, TYPE_ERROR, ERROR_NONE);
  if (command == COMMAND_STATE) {
    send_state(improv);
    if (improv->networks->joined && improv->networks->trial != AIOT_NETWORK_TRYING) send_url(improv, command);
  } else if (command == COMMAND_INFO) {
    const char *const text[] = {improv->about.firmware, improv->about.version, improv->about.chip, improv->about.name};
    send_result(improv, command, text, 4);
  } else if (!improv->scanning) {
    improv->scanning = true;
    improv->begun = improv->port->scan(improv->port->context);
    improv->scan_ms = now_ms;
  }
}

/* Number of bytes of the packet at the start; 0 = there is none; more than `count` = it is incomplete. */
static size_t packet_at(const uint8_t *bytes, size_t count) {
  const size_t known = count < sizeof header ? count : sizeof header;
  if (memcmp(bytes, header, known) != 0) return 0;
  if (count > TYPE_AT && (bytes[TYPE_AT] < TYPE_STATE || bytes[TYPE_AT] > TYPE_RESULT)) return 0;
  return count <= LENGTH_AT ? count + 1 : (size_t)DATA_AT + bytes[LENGTH_AT] + 1;
}

static void drop(aiot_improv *improv, size_t bytes) {
  improv->count -= bytes;
  memmove(improv->held, improv->held + bytes, improv->count);
}

/* Handles the packets that are complete. The search continues inside a damaged packet, because it may have lost bytes. */
static void settle(aiot_improv *improv, uint64_t now_ms) {
  while (improv->count > 0) {
    const size_t bytes = packet_at(improv->held, improv->count);
    if (bytes > improv->count) return;
    if (bytes > 0 && sum_of(improv->held, bytes - 1) == improv->held[bytes - 1]) {
      if (improv->held[TYPE_AT] == TYPE_COMMAND) obey(improv, improv->held + DATA_AT, bytes - DATA_AT - 1, now_ms);
      /* Erased, because the packet may contain a password. */
      memset(improv->held, 0, bytes);
      drop(improv, bytes);
      continue;
    }
    if (bytes > 0) send_byte(improv, TYPE_ERROR, ERROR_INVALID);
    drop(improv, 1);
  }
}

void aiot_improv_open(aiot_improv *improv, const aiot_improv_port *port, aiot_networks *networks, const aiot_improv_about *about) {
  memset(improv, 0, sizeof *improv);
  improv->port = port;
  improv->networks = networks;
  improv->about = *about;
}

void aiot_improv_receive(aiot_improv *improv, const void *bytes, size_t count, uint64_t now_ms) {
  const uint8_t *at = bytes;
  if (count > 0) improv->heard_ms = now_ms;
  for (size_t i = 0; i < count; i++) {
    improv->held[improv->count++] = at[i];
    settle(improv, now_ms);
  }
}

static void report_scan(aiot_improv *improv, uint64_t now_ms) {
  static const char *const secured[] = {"NO", "YES"};
  aiot_seen_network seen;
  char dbm[12];
  const bool late = now_ms - improv->scan_ms >= AIOT_IMPROV_SCAN_MS;
  if (!improv->begun) improv->begun = improv->port->scan(improv->port->context);
  if (!improv->begun && !late) return;
  aiot_scan_state state = late ? AIOT_SCAN_OVER : improv->port->scanned(improv->port->context, &seen);
  for (; state == AIOT_SCAN_NETWORK; state = improv->port->scanned(improv->port->context, &seen)) {
    /* A hidden network has no name. */
    if (seen.ssid[0] == '\0') continue;
    snprintf(dbm, sizeof dbm, "%d", seen.dbm);
    const char *const text[] = {seen.ssid, dbm, secured[seen.secured]};
    send_result(improv, COMMAND_NETWORKS, text, 3);
  }
  if (state != AIOT_SCAN_OVER) return;
  improv->scanning = false;
  send_result(improv, COMMAND_NETWORKS, NULL, 0);
}

void aiot_improv_step(aiot_improv *improv, uint64_t now_ms) {
  if (improv->count > 0 && now_ms - improv->heard_ms >= AIOT_IMPROV_QUIET_MS) {
    drop(improv, 1);
    settle(improv, now_ms);
  }
  if (improv->scanning) report_scan(improv, now_ms);
  if (!improv->trying || improv->networks->trial == AIOT_NETWORK_TRYING) return;
  improv->trying = false;
  if (improv->networks->trial == AIOT_NETWORK_WORKS) {
    send_state(improv);
    send_url(improv, COMMAND_WIFI);
    return;
  }
  send_byte(improv, TYPE_ERROR, ERROR_UNABLE_TO_CONNECT);
  send_state(improv);
}
