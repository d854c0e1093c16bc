#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "vitals.h"

/* Files as the kernel exposes them: two batteries of the computer, a mouse, a charger, and a Wi-Fi interface. */
static const struct {
  const char *path;
  const char *text;
} files[] = {
    {"class/power_supply/AC/type", "Mains\n"},           {"class/power_supply/BAT0/type", "Battery\n"},
    {"class/power_supply/BAT0/capacity", "87\n"},        {"class/power_supply/BAT1/type", "Battery\n"},
    {"class/power_supply/BAT1/scope", "System\n"},       {"class/power_supply/BAT1/capacity", "14\n"},
    {"class/power_supply/mouse/type", "Battery\n"},      {"class/power_supply/mouse/scope", "Device\n"},
    {"class/power_supply/mouse/capacity", "3\n"},        {"class/power_supply/broken/type", "Battery\n"},
    {"class/power_supply/broken/capacity", "200\n"},
    {"net/wireless",
     "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
     " face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"
     " wlan0: 0000   52.  -58.  -256        0      0      0      0     12        0\n"},
};

static void write_file(const char *folder, const char *path, const char *text) {
  char whole[600];
  snprintf(whole, sizeof whole, "%s/%s", folder, path);
  for (char *at = whole + strlen(folder) + 1; (at = strchr(at, '/')) != NULL; at++) {
    *at = '\0';
    mkdir(whole, 0700);
    *at = '/';
  }
  FILE *file = fopen(whole, "w");
  if (file == NULL) return;
  fputs(text, file);
  fclose(file);
}

int main(void) {
  checks c = {0};
  char folder[] = "/tmp/aiot-vitals-XXXXXX";
  if (mkdtemp(folder) == NULL) return 1;
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) write_file(folder, files[i].path, files[i].text);
  aiot_vitals_source from = {folder, folder, folder};
  aiot_vitals vitals = {.battery_percent = -1};
  setenv(AIOT_BOOT_VARIABLE, "watchdog", 1);
  aiot_host_vitals(&from, &vitals);
  check_equal(&c, "the emptiest battery of the computer", 0, 14, vitals.battery_percent);
  check_equal(&c, "the Wi-Fi signal", 0, -58, vitals.rssi_dbm);
  check_at(&c, "the last restart", "boot", 0, vitals.boot != NULL && strcmp(vitals.boot, "watchdog") == 0);
  check_at(&c, "the disk", "bytes", 0, vitals.disk_total > 0 && vitals.disk_free <= vitals.disk_total);
  /* A computer without these parts. */
  unsetenv(AIOT_BOOT_VARIABLE);
  aiot_vitals_source none = {"/nowhere", "/nowhere", "/nowhere"};
  vitals = (aiot_vitals){.battery_percent = -1};
  aiot_host_vitals(&none, &vitals);
  check_at(&c, "a computer without sensors", "vitals", 0,
           vitals.battery_percent == -1 && vitals.rssi_dbm == 0 && vitals.disk_total == 0 && vitals.boot == NULL);
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    char whole[600];
    snprintf(whole, sizeof whole, "%s/%s", folder, files[i].path);
    remove(whole);
    for (char *at = strrchr(whole, '/'); at > whole + strlen(folder); at = strrchr(whole, '/')) {
      *at = '\0';
      rmdir(whole);
    }
  }
  rmdir(folder);
  return checks_end(&c);
}
