/*
 * A device's known Wi-Fi networks, and the trial of a new one. A new network is used immediately, but stored only after the device has
 * joined it. If joining fails, the device returns to the last network that worked. The functions are pure: the caller controls the radio
 * and stores the bytes.
 */
#ifndef AIOT_NETWORKS_H
#define AIOT_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AIOT_NETWORKS_MAX 3
#define AIOT_SSID_BYTES 33
#define AIOT_WIFI_PASSWORD_BYTES 65
/* Failed attempts after which a trial ends, and after which another known network is tried. */
#define AIOT_NETWORK_ATTEMPTS 3
/* Longest trial. It covers three attempts with their back-off, and an access point that assigns no address. */
#define AIOT_NETWORK_TRIAL_MS 45000u
/* Largest number of bytes that aiot_networks_write produces. */
#define AIOT_NETWORKS_BYTES (2 + AIOT_NETWORKS_MAX * (3 + 32 + 64 + 16))

/* Fixed addresses in network byte order, instead of those from DHCP. */
typedef struct {
  uint8_t address[4];
  uint8_t mask[4];
  uint8_t gateway[4];
  uint8_t dns[4];
} aiot_fixed_address;

typedef struct {
  char ssid[AIOT_SSID_BYTES];
  /* "" = an open network. */
  char password[AIOT_WIFI_PASSWORD_BYTES];
  /* Whether the network needs a login instead of a password. Only a network written by cable can have one; the login is in NVS. */
  bool enterprise;
  bool fixed;
  aiot_fixed_address addresses;
} aiot_network;

typedef enum { AIOT_NETWORK_IDLE, AIOT_NETWORK_TRYING, AIOT_NETWORK_WORKS, AIOT_NETWORK_FAILED } aiot_network_trial;

typedef struct {
  /* Known networks; the one that worked last is first. */
  aiot_network known[AIOT_NETWORKS_MAX];
  size_t count;
  /* The network on trial, valid while `trial` is AIOT_NETWORK_TRYING. */
  aiot_network candidate;
  aiot_network_trial trial;
  uint64_t trial_ms;
  /* Index of the known network in use, and its failed attempts in a row. */
  size_t current;
  unsigned failures;
  bool joined;
  /* Set when the known networks have changed and must be stored. The caller clears it. */
  bool dirty;
} aiot_networks;

/*
 * Whether name and password follow 802.11: a name of 1 to 32 bytes; no password, or one of 8 to 63 characters or 64 hex digits. An
 * enterprise network has no password.
 */
bool aiot_network_valid(const aiot_network *network);

/*
 * Sets fixed addresses from texts such as "10.0.0.7"; an empty `dns` = the gateway. False, and DHCP is used, if one of the addresses is
 * invalid: a mask with gaps, or a gateway outside the network.
 */
bool aiot_network_fix(aiot_network *network, const char *address, const char *mask, const char *gateway, const char *dns);

/*
 * Reads stored networks. `provisioned`: the network written by cable, NULL = none; it is added at the end unless it is known. Damaged bytes
 * count as none.
 */
void aiot_networks_open(aiot_networks *networks, const void *stored, size_t bytes, const aiot_network *provisioned);
/* Writes the known networks; returns the number of bytes, at most AIOT_NETWORKS_BYTES. */
size_t aiot_networks_write(const aiot_networks *networks, void *out, size_t room);

/* The network for the next attempt; NULL = none is known. */
const aiot_network *aiot_networks_current(const aiot_networks *networks);
/* Starts a trial. False if the network is invalid, or another one is on trial. The caller then leaves the current network. */
bool aiot_networks_try(aiot_networks *networks, const aiot_network *network, uint64_t now_ms);
/* Reports that the current network was joined and assigned an address. */
void aiot_networks_joined(aiot_networks *networks);
/* Reports a failed attempt, or a lost connection. */
void aiot_networks_failed(aiot_networks *networks);
/* Ends a trial that takes too long. True if it ended now, so that the caller leaves the candidate. */
bool aiot_networks_step(aiot_networks *networks, uint64_t now_ms);

#endif
