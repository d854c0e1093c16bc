#ifndef AIOT_GUIDE_SETTINGS_H
#define AIOT_GUIDE_SETTINGS_H

#include "aiot/guide.h"

/*
 * Settings from `guide.json` in a board's folder. `aiot device simulate --native --board architects-guide` writes the file:
 *
 *   {"id":"14333616","role":"level-1","registry":"https://127.0.0.1:30006","models":"https://127.0.0.1:30007","broker":"mqtt://127.0.0.1:30005","ca":"ca.pem"}
 */
typedef struct {
  char id[AIOT_GUIDE_TEXT_BYTES];
  aiot_guide_role role;
  char registry[256];
  char models[256];
  char broker[256];
  /* Path of the CA's certificate; empty = the machine's trust store. */
  char ca[600];
} aiot_guide_settings;

/* Reads the settings. If it returns false, `problem` contains the reason. */
bool aiot_guide_settings_read(aiot_guide_settings *settings, const char *folder, char *problem, size_t room);

#endif
