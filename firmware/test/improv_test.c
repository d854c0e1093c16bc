/* Tests Improv's packets with bytes from its specification, and the trial of networks, on a simulated console and radio. */
#include "aiot/improv.h"

#include <string.h>

#include "check.h"

static struct {
  uint8_t sent[8192];
  size_t count;
  int leaves, scans;
  bool no_scan, scan_runs;
  size_t next;
} board;

static void send(void *context, const void *bytes, size_t count) {
  (void)context;
  if (board.count + count > sizeof board.sent) return;
  memcpy(board.sent + board.count, bytes, count);
  board.count += count;
}

static bool scan(void *context) {
  (void)context;
  board.scans++;
  board.next = 0;
  return !board.no_scan;
}

static aiot_scan_state scanned(void *context, aiot_seen_network *network) {
  static const aiot_seen_network air[] = {{"plant", -48, true}, {"", -50, true}, {"guests", -71, false}};
  (void)context;
  if (board.scan_runs) return AIOT_SCAN_RUNS;
  if (board.next == sizeof air / sizeof air[0]) return AIOT_SCAN_OVER;
  *network = air[board.next++];
  return AIOT_SCAN_NETWORK;
}

static void leave(void *context) {
  (void)context;
  board.leaves++;
}

static const aiot_improv_port port = {NULL, send, scan, scanned, leave};
static const aiot_improv_about about = {"aiot", "1.2.3", "esp32s3", "pump-7", "https://platform/"};

static aiot_networks networks;
static aiot_improv improv;

static void start(const aiot_network *provisioned) {
  memset(&board, 0, sizeof board);
  aiot_networks_open(&networks, NULL, 0, provisioned);
  aiot_improv_open(&improv, &port, &networks, &about);
}

/* Appends a packet of this type to `out`, and returns its size. */
static size_t packet(uint8_t *out, uint8_t type, const void *data, size_t bytes) {
  memcpy(out, "IMPROV\x01", 7);
  out[7] = type;
  out[8] = (uint8_t)bytes;
  if (bytes > 0) memcpy(out + 9, data, bytes);
  out[9 + bytes] = 0;
  for (size_t i = 0; i < 9 + bytes; i++) out[9 + bytes] = (uint8_t)(out[9 + bytes] + out[i]);
  return bytes + 10;
}

static void ask(uint8_t command, const void *data, size_t bytes, uint64_t now_ms) {
  uint8_t rpc[257], out[300];
  rpc[0] = command;
  rpc[1] = (uint8_t)bytes;
  if (bytes > 0) memcpy(rpc + 2, data, bytes);
  board.count = 0;
  aiot_improv_receive(&improv, out, packet(out, 3, rpc, bytes + 2), now_ms);
}

/* Whether exactly these packets were sent since the last request; each is its type, length and data. */
static bool sent(const char *expected, size_t bytes) {
  uint8_t all[2048];
  size_t count = 0;
  for (size_t at = 0; at < bytes; at += 2u + (uint8_t)expected[at + 1]) {
    all[count++] = '\n';
    count += packet(all + count, (uint8_t)expected[at], expected + at + 2, (uint8_t)expected[at + 1]);
    all[count++] = '\n';
  }
  return count == board.count && memcmp(all, board.sent, count) == 0;
}
#define SENT(text) sent(text, sizeof(text) - 1)

static const uint8_t wifi[] = "\x05plant\x0f" "correct horse 7";
enum { WIFI = sizeof wifi - 1 };

static void test_packets(checks *c) {
  start(NULL);
  /* https://www.improv-wifi.com/serial: 01 1E 0C {MyWirelessAP} 10 {mysecurepassword}. The checksum was added by hand. */
  static const char example[] = "IMPROV\x01\x03\x20\x01\x1e\x0cMyWirelessAP\x10mysecurepassword\xe5";
  uint8_t made[60];
  const size_t bytes = packet(made, 3, example + 9, 32);
  aiot_improv_receive(&improv, made, bytes, 0);
  check_at(c, "packets", "the specification's example is read", 0,
           strcmp(networks.candidate.ssid, "MyWirelessAP") == 0 && strcmp(networks.candidate.password, "mysecurepassword") == 0);
  start(NULL);
  ask(2, NULL, 0, 0);
  static const char state[] = "\nIMPROV\x01\x02\x01\x00\xe1\n\nIMPROV\x01\x01\x01\x02\xe2\n";
  check_at(c, "packets", "a state has the bytes of the specification", 0, board.count == sizeof state - 1 && memcmp(board.sent, state, board.count) == 0);
  ask(3, NULL, 0, 0);
  check_at(c, "packets", "information", 0, SENT("\x02\x01\x00\x04\x1c\x03\x1a\x04" "aiot\x05" "1.2.3\x07" "esp32s3\x06pump-7"));
  ask(9, NULL, 0, 0);
  check_at(c, "packets", "an unknown command", 0, SENT("\x02\x01\x02"));
  ask(2, "x", 1, 0);
  check_at(c, "packets", "data where none belong", 0, SENT("\x02\x01\x01"));
}

static void test_noise(checks *c) {
  uint8_t good[20], bad[20], cut[300];
  const size_t bytes = packet(good, 3, "\x02\x00", 2);
  packet(bad, 3, "\x02\x00", 2);
  bad[9] = 3;
  start(NULL);
  aiot_improv_receive(&improv, "I (12) boot: IMPROV\r\nIMP", 24, 0);
  aiot_improv_receive(&improv, good, bytes, 0);
  check_at(c, "noise", "log lines around a packet", 0, SENT("\x02\x01\x00\x01\x01\x02"));
  board.count = 0;
  aiot_improv_receive(&improv, bad, bytes, 0);
  aiot_improv_receive(&improv, good, bytes, 0);
  check_at(c, "noise", "a wrong checksum", 0, SENT("\x02\x01\x01\x02\x01\x00\x01\x01\x02"));
  /* A packet that lost its end swallows the next one only until the line is quiet. */
  board.count = 0;
  memset(cut, 'x', sizeof cut);
  packet(cut, 3, cut + 9, 200);
  aiot_improv_receive(&improv, cut, 50, 1000);
  aiot_improv_receive(&improv, good, bytes, 1001);
  aiot_improv_step(&improv, 1100);
  check_at(c, "noise", "waits for the rest", 0, board.count == 0);
  for (int i = 0; i < 100; i++) aiot_improv_step(&improv, 1501);
  check_at(c, "noise", "finds the packet behind a cut one", 0, SENT("\x02\x01\x00\x01\x01\x02"));
  /* Random bytes never overflow the buffer; the sanitizers would stop the test. */
  uint32_t random = 1;
  for (int i = 0; i < 200000; i++) {
    random = random * 1664525u + 1013904223u;
    static const uint8_t parts[] = {'I', 'M', 'P', 'R', 'O', 'V', 1, 3, 255};
    const uint8_t byte = (random >> 24) % 3 == 0 ? parts[(random >> 8) % sizeof parts] : (uint8_t)(random >> 16);
    aiot_improv_receive(&improv, &byte, 1, 2000);
    board.count = 0;
  }
  for (int i = 0; i < 300; i++) aiot_improv_step(&improv, 9000);
  board.count = 0;
  aiot_improv_receive(&improv, good, bytes, 9000);
  check_at(c, "noise", "works after random bytes", 0, SENT("\x02\x01\x00\x01\x01\x02"));
}

static void test_settings(checks *c) {
  static const struct {
    const char *data;
    size_t bytes;
  } bad[] = {{"", 0},
             {"\x05plan", 5},
             {"\x00\x00", 2},
             {"\x05plant", 6},
             {"\x05plant\x05short", 12},
             {"\x05plant\x09with\x00zero", 16},
             {"\x05plant\x00x", 8},
             {"\x21" "123456789012345678901234567890123\x00", 35}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    start(NULL);
    ask(1, bad[i].data, bad[i].bytes, 0);
    check_at(c, "settings", "are rejected", i, SENT("\x02\x01\x01") && networks.trial == AIOT_NETWORK_IDLE && board.leaves == 0);
  }
}

static void test_join(checks *c) {
  start(NULL);
  ask(1, wifi, WIFI, 100);
  check_at(c, "join", "starts", 0, SENT("\x02\x01\x00\x01\x01\x03") && board.leaves == 1 && strcmp(aiot_networks_current(&networks)->ssid, "plant") == 0);
  check_at(c, "join", "is not stored before it works", 0, !networks.dirty && networks.count == 0);
  ask(1, wifi, WIFI, 150);
  check_at(c, "join", "the same settings again", 0, SENT("\x02\x01\x00\x01\x01\x03") && board.leaves == 1);
  ask(1, "\x06guests\x00", 8, 160);
  check_at(c, "join", "other settings while one is on trial", 0, SENT("\x02\x01\x01"));
  board.count = 0;
  aiot_improv_step(&improv, 200);
  check_at(c, "join", "nothing to report", 0, board.count == 0);
  aiot_networks_joined(&networks);
  aiot_improv_step(&improv, 300);
  check_at(c, "join", "success, with the page", 0, SENT("\x01\x01\x04\x04\x14\x01\x12\x11https://platform/"));
  check_at(c, "join", "is stored", 0, networks.dirty && networks.count == 1);
  board.count = 0;
  aiot_improv_step(&improv, 400);
  check_at(c, "join", "is reported once", 0, board.count == 0);
  ask(2, NULL, 0, 500);
  check_at(c, "join", "the state afterward", 0, SENT("\x02\x01\x00\x01\x01\x04\x04\x14\x02\x12\x11https://platform/"));
}

static void test_rollback(checks *c) {
  const aiot_network hall = {.ssid = "hall", .password = "works since 2019"};
  start(&hall);
  aiot_networks_joined(&networks);
  ask(1, wifi, WIFI, 0);
  aiot_networks_failed(&networks);
  aiot_networks_failed(&networks);
  check_at(c, "rollback", "not after two attempts", 0, strcmp(aiot_networks_current(&networks)->ssid, "plant") == 0);
  aiot_networks_failed(&networks);
  check_at(c, "rollback", "the former network is in use again", 0, strcmp(aiot_networks_current(&networks)->ssid, "hall") == 0 && !networks.dirty);
  check_at(c, "rollback", "the password is forgotten", 0, networks.candidate.password[0] == '\0');
  aiot_improv_step(&improv, 10);
  check_at(c, "rollback", "is reported", 0, networks.trial == AIOT_NETWORK_FAILED);
  aiot_networks_joined(&networks);
  ask(2, NULL, 0, 20);
  check_at(c, "rollback", "is provisioned again", 0, board.sent[23] == 4);

  start(&hall);
  ask(1, wifi, WIFI, 1000);
  check_at(c, "rollback", "not before the time is over", 0, !aiot_networks_step(&networks, 1000 + AIOT_NETWORK_TRIAL_MS - 1));
  check_at(c, "rollback", "after the time", 0, aiot_networks_step(&networks, 1000 + AIOT_NETWORK_TRIAL_MS) && networks.trial == AIOT_NETWORK_FAILED);
  check_at(c, "rollback", "only once", 0, !aiot_networks_step(&networks, 1000 + AIOT_NETWORK_TRIAL_MS));
}

static void test_scan(checks *c) {
  start(NULL);
  board.scan_runs = true;
  ask(4, NULL, 0, 0);
  aiot_improv_step(&improv, 100);
  check_at(c, "scan", "runs", 0, SENT("\x02\x01\x00"));
  ask(4, NULL, 0, 100);
  check_at(c, "scan", "is not started twice", 0, board.scans == 1);
  board.scan_runs = false;
  board.count = 0;
  aiot_improv_step(&improv, 200);
  check_at(c, "scan", "reports the networks that have a name", 0,
           SENT("\x04\x10\x04\x0e\x05plant\x03-48\x03YES\x04\x10\x04\x0e\x06guests\x03-71\x02NO\x04\x02\x04\x00"));
  board.scan_runs = true;
  ask(4, NULL, 0, 300);
  board.count = 0;
  aiot_improv_step(&improv, 300 + AIOT_IMPROV_SCAN_MS);
  check_at(c, "scan", "ends after its time", 0, SENT("\x04\x02\x04\x00"));
  board.no_scan = true;
  board.scan_runs = false;
  ask(4, NULL, 0, 400);
  aiot_improv_step(&improv, 500);
  check_at(c, "scan", "waits for the radio", 0, SENT("\x02\x01\x00"));
  board.no_scan = false;
  board.count = 0;
  aiot_improv_step(&improv, 600);
  check_at(c, "scan", "starts later", 0, board.count > 60 && !improv.scanning);
  board.no_scan = true;
  ask(4, NULL, 0, 700);
  board.count = 0;
  aiot_improv_step(&improv, 700 + AIOT_IMPROV_SCAN_MS);
  check_at(c, "scan", "that never starts is empty", 0, SENT("\x04\x02\x04\x00"));
}

static void add(const char *name) {
  aiot_network network = {.password = "correct horse 7"};
  memcpy(network.ssid, name, strlen(name));
  aiot_networks_try(&networks, &network, 0);
  aiot_networks_joined(&networks);
}

static void test_known(checks *c) {
  uint8_t stored[AIOT_NETWORKS_BYTES];
  aiot_networks_open(&networks, NULL, 0, NULL);
  check_at(c, "known", "none", 0, aiot_networks_current(&networks) == NULL);
  static const char *const names[] = {"a", "b", "c", "d", "e", "b"};
  for (size_t i = 0; i < 6; i++) add(names[i]);
  const size_t bytes = aiot_networks_write(&networks, stored, sizeof stored);
  aiot_networks again;
  const aiot_network fixed = {.ssid = "lab", .fixed = true, .addresses = {{10, 0, 0, 7}, {255, 255, 255, 0}, {10, 0, 0, 1}, {10, 0, 0, 2}}};
  aiot_networks_open(&again, stored, bytes, NULL);
  check_at(c, "known", "the three newest, each once, the last one first", 0,
           again.count == 3 && strcmp(again.known[0].ssid, "b") == 0 && strcmp(again.known[1].ssid, "e") == 0 && strcmp(again.known[2].ssid, "d") == 0);
  for (size_t length = 0; length < bytes; length++) {
    aiot_networks_open(&again, stored, length, &fixed);
    check_at(c, "known", "cut bytes count as none", length, again.count == 1 && strcmp(again.known[0].ssid, "lab") == 0);
  }
  for (size_t at = 0; at < bytes; at++) {
    stored[at] ^= 0x80;
    aiot_networks_open(&again, stored, bytes, NULL);
    for (size_t i = 0; i < again.count; i++) check_at(c, "known", "damaged bytes yield only valid networks", at, aiot_network_valid(&again.known[i]));
    stored[at] ^= 0x80;
  }
  aiot_networks_open(&again, stored, bytes, &fixed);
  check_at(c, "known", "the provisioned network remains", 0, again.count == 3 && strcmp(again.known[2].ssid, "lab") == 0);
  /* If a network is out of reach, the next one is tried; the one that works moves to the front. */
  for (int i = 0; i < 2 * AIOT_NETWORK_ATTEMPTS; i++) aiot_networks_failed(&again);
  check_at(c, "known", "the next network", 0, strcmp(aiot_networks_current(&again)->ssid, "lab") == 0);
  aiot_networks_joined(&again);
  check_at(c, "known", "first", 0, again.dirty && again.current == 0 && strcmp(again.known[0].ssid, "lab") == 0);
  const size_t more = aiot_networks_write(&again, stored, sizeof stored);
  aiot_networks_open(&networks, stored, more, NULL);
  check_at(c, "known", "fixed addresses are kept", 0, networks.known[0].fixed && memcmp(&networks.known[0].addresses, &fixed.addresses, 16) == 0);
}

static void test_addresses(checks *c) {
  static const struct {
    const char *text[4];
    bool good;
  } cases[] = {
      {{"10.0.0.7", "255.255.255.0", "10.0.0.1", "10.0.0.2"}, true},
      {{"172.16.4.3", "255.255.252.0", "172.16.7.254", ""}, true},
      {{"192.168.1.255", "255.255.255.0", "192.168.1.1", ""}, false},
      {{"192.168.1.0", "255.255.255.0", "192.168.1.1", ""}, false},
      {{"192.168.1.7", "255.0.255.0", "192.168.1.1", ""}, false},
      {{"192.168.1.7", "255.255.255.255", "192.168.1.7", ""}, false},
      {{"192.168.1.7", "0.0.0.0", "192.168.1.1", ""}, false},
      {{"192.168.1.7", "255.255.255.0", "192.168.2.1", ""}, false},
      {{"192.168.1.256", "255.255.255.0", "192.168.1.1", ""}, false},
      {{"192.168.1", "255.255.255.0", "192.168.1.1", ""}, false},
      {{"192.168.1.7 ", "255.255.255.0", "192.168.1.1", ""}, false},
      {{"192.168.1.0007", "255.255.255.0", "192.168.1.1", ""}, false},
      {{"", "", "", ""}, false},
      {{"192.168.1.7", "255.255.255.0", "192.168.1.1", "8.8.8"}, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    aiot_network network = {.ssid = "lab"};
    const bool good = aiot_network_fix(&network, cases[i].text[0], cases[i].text[1], cases[i].text[2], cases[i].text[3]);
    check_at(c, "addresses", "accepted or rejected", i, good == cases[i].good && network.fixed == good);
    if (i == 0) {
      const aiot_fixed_address expected = {{10, 0, 0, 7}, {255, 255, 255, 0}, {10, 0, 0, 1}, {10, 0, 0, 2}};
      check_at(c, "addresses", "all four", i, memcmp(&network.addresses, &expected, sizeof expected) == 0);
    }
    if (i == 1) check_at(c, "addresses", "the gateway answers DNS", i, memcmp(network.addresses.dns, network.addresses.gateway, 4) == 0);
    if (!good) check_at(c, "addresses", "DHCP", i, network.addresses.address[0] == 0);
  }
}

int main(void) {
  checks c = {0, 0};
  test_packets(&c);
  test_noise(&c);
  test_settings(&c);
  test_join(&c);
  test_rollback(&c);
  test_scan(&c);
  test_known(&c);
  test_addresses(&c);
  return checks_end(&c);
}
