/* The program's own settings in the file `settings.json` of the device's folder. It has the same content as that of a virtual device. */
#ifndef AIOT_SETTINGS_FILE_H
#define AIOT_SETTINGS_FILE_H

#include "aiot/setting.h"

/* A process has one such store. `folder` must remain valid. */
const aiot_settings_store *aiot_settings_file(const char *folder);

#endif
