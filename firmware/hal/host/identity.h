#ifndef AIOT_IDENTITY_H
#define AIOT_IDENTITY_H

#include "aiot/trust.h"

/* The folder written by `aiot device provision`: the device's identity, its platform's address, and its trust root. */
typedef struct {
  char folder[512];
  char name[AIOT_ID_BYTES];
  char id[AIOT_ID_BYTES];
  char type[AIOT_ID_BYTES];
  /* "https://host:port" and "mqtts://host:port". */
  char http[256];
  char mqtts[256];
  bool has_trust;
  aiot_trust trust;
} aiot_identity;

/* Reads the identity from its folder. If it returns false, `problem` contains the reason. */
bool aiot_identity_read(aiot_identity *identity, const char *folder, const aiot_crypto *crypto, char *problem, size_t room);

/* Builds the path "folder/name". */
void aiot_identity_path(const aiot_identity *identity, const char *name, char *out, size_t room);

/* Host and port of a URL with this scheme. False if the scheme is another one, or the host or port is invalid. */
bool aiot_identity_address(const char *url, const char *scheme, int standard_port, char *host, size_t room, int *port);

#endif
