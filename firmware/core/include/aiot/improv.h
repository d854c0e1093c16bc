/*
 * Improv on a serial console: Wi-Fi settings in packets between the lines of the log. Source: https://www.improv-wifi.com/serial, version
 * 1. src/lib/formats/improv.ts is the same in TypeScript. Nothing is allocated.
 */
#ifndef AIOT_IMPROV_H
#define AIOT_IMPROV_H

#include "aiot/networks.h"

/* Bytes of the longest packet: header, type, length, data, checksum. */
#define AIOT_IMPROV_PACKET_BYTES (9 + 255 + 1)
/* A packet that is incomplete after this time is discarded, so that it does not swallow the next one. */
#define AIOT_IMPROV_QUIET_MS 500u
/* Maximum duration of a scan. It then ends with the networks found so far. */
#define AIOT_IMPROV_SCAN_MS 12000u

/* A network in range. */
typedef struct {
  char ssid[AIOT_SSID_BYTES];
  int dbm;
  bool secured;
} aiot_seen_network;

typedef enum { AIOT_SCAN_RUNS, AIOT_SCAN_NETWORK, AIOT_SCAN_OVER } aiot_scan_state;

/* The console and the radio. */
typedef struct {
  void *context;
  void (*send)(void *context, const void *bytes, size_t count);
  /* Starts a scan; false = the radio cannot scan now, so the scan is requested again later. */
  bool (*scan)(void *context);
  /* Returns the next network of the scan, if it is complete. */
  aiot_scan_state (*scanned)(void *context, aiot_seen_network *network);
  /* Leaves the current network, because aiot_networks_current has changed. */
  void (*leave)(void *context);
} aiot_improv_port;

/* Texts that the board reports about itself. They must remain valid. `url`: the page for its setup, "" = none. */
typedef struct {
  const char *firmware;
  const char *version;
  const char *chip;
  const char *name;
  const char *url;
} aiot_improv_about;

typedef struct {
  const aiot_improv_port *port;
  aiot_networks *networks;
  aiot_improv_about about;
  uint8_t held[AIOT_IMPROV_PACKET_BYTES];
  size_t count;
  uint64_t heard_ms;
  /* Whether a scan was requested, and whether the radio has started it. */
  bool scanning, begun;
  uint64_t scan_ms;
  /* Whether the current trial was requested here, so that its end is reported. */
  bool trying;
} aiot_improv;

void aiot_improv_open(aiot_improv *improv, const aiot_improv_port *port, aiot_networks *networks, const aiot_improv_about *about);
/* Handles bytes from the console. Bytes outside of packets are ignored. */
void aiot_improv_receive(aiot_improv *improv, const void *bytes, size_t count, uint64_t now_ms);
/* Call it in the loop: reports the results of scans and trials. */
void aiot_improv_step(aiot_improv *improv, uint64_t now_ms);

#endif
