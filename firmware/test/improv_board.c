/*
 * A board on stdin and stdout whose console speaks Improv, for TypeScript tests: the core on a simulated radio.
 * improv_board STORE [NAME[:PASSWORD]]... : STORE keeps the known networks; the others are in range.
 */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aiot/improv.h"

enum { SCAN_MS = 100, JOIN_MS = 80, LOG_MS = 50, TURN_MS = 10 };

static char **air;
static int air_count, next;
static uint64_t scan_ms, join_ms, log_ms;

static uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void send(void *context, const void *bytes, size_t count) {
  (void)context;
  fwrite(bytes, 1, count, stdout);
  fflush(stdout);
}

static bool scan(void *context) {
  (void)context;
  next = 0;
  scan_ms = now_ms();
  return true;
}

static aiot_scan_state scanned(void *context, aiot_seen_network *network) {
  (void)context;
  if (now_ms() - scan_ms < SCAN_MS) return AIOT_SCAN_RUNS;
  if (next == air_count) return AIOT_SCAN_OVER;
  const char *one = air[next];
  const size_t bytes = strcspn(one, ":");
  memset(network, 0, sizeof *network);
  memcpy(network->ssid, one, bytes < sizeof network->ssid ? bytes : sizeof network->ssid - 1);
  network->dbm = -50 - next;
  network->secured = one[bytes] == ':';
  next++;
  return AIOT_SCAN_NETWORK;
}

static void leave(void *context) {
  (void)context;
  join_ms = now_ms();
}

static bool in_range(const aiot_network *network) {
  for (int i = 0; i < air_count; i++) {
    const size_t bytes = strcspn(air[i], ":");
    const char *password = air[i][bytes] == ':' ? air[i] + bytes + 1 : "";
    if (strlen(network->ssid) == bytes && memcmp(network->ssid, air[i], bytes) == 0 && strcmp(network->password, password) == 0) return true;
  }
  return false;
}

static void keep(aiot_networks *networks, const char *path) {
  uint8_t bytes[AIOT_NETWORKS_BYTES];
  FILE *file = fopen(path, "wb");
  if (file == NULL) return;
  fwrite(bytes, 1, aiot_networks_write(networks, bytes, sizeof bytes), file);
  fclose(file);
  networks->dirty = false;
}

static void attempt(aiot_networks *networks, uint64_t now) {
  const aiot_network *network = aiot_networks_current(networks);
  if (networks->joined || network == NULL || now - join_ms < JOIN_MS) return;
  join_ms = now;
  printf("I (%u) wifi: joining %s\r\n", (unsigned)now, network->ssid);
  fflush(stdout);
  if (in_range(network)) aiot_networks_joined(networks);
  else aiot_networks_failed(networks);
}

int main(int count, char **arguments) {
  static aiot_networks networks;
  static aiot_improv improv;
  static const aiot_improv_port port = {NULL, send, scan, scanned, leave};
  static const aiot_improv_about about = {"aiot-device", "1.2.3", "host", "pump-7", "https://platform/"};
  uint8_t bytes[AIOT_NETWORKS_BYTES];
  size_t stored = 0;
  if (count < 2) return 2;
  FILE *file = fopen(arguments[1], "rb");
  if (file != NULL) {
    stored = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
  }
  air = arguments + 2;
  air_count = count - 2;
  aiot_networks_open(&networks, bytes, stored, NULL);
  aiot_improv_open(&improv, &port, &networks, &about);
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  for (;;) {
    uint8_t received[256];
    const int ready = poll(&input, 1, TURN_MS);
    const ssize_t got = ready > 0 ? read(STDIN_FILENO, received, sizeof received) : 0;
    if (ready > 0 && got <= 0) return 0;
    const uint64_t now = now_ms();
    aiot_improv_receive(&improv, received, (size_t)got, now);
    aiot_networks_step(&networks, now);
    attempt(&networks, now);
    if (networks.dirty) keep(&networks, arguments[1]);
    aiot_improv_step(&improv, now);
    if (now - log_ms < LOG_MS) continue;
    log_ms = now;
    printf("I (%u) app: 23.5 degrees\r\n", (unsigned)now);
    fflush(stdout);
  }
}
