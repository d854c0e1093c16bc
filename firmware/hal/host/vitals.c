#define _GNU_SOURCE

#include "vitals.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* Reads the first line of a file of a power supply. */
static bool read_line(const aiot_vitals_source *from, const char *supply, const char *file, char *line, int bytes) {
  char path[600];
  snprintf(path, sizeof path, "%s/class/power_supply/%s/%s", from->sys, supply, file);
  FILE *opened = fopen(path, "r");
  if (opened == NULL) return false;
  const bool read = fgets(line, bytes, opened) != NULL;
  fclose(opened);
  return read;
}

/* The charge of the emptiest battery of the computer itself, percent; -1 = none. Batteries of mice and headsets have the scope Device. */
static int battery(const aiot_vitals_source *from) {
  char path[600], line[40];
  int least = -1;
  snprintf(path, sizeof path, "%s/class/power_supply", from->sys);
  DIR *all = opendir(path);
  if (all == NULL) return -1;
  for (const struct dirent *each = readdir(all); each != NULL; each = readdir(all)) {
    if (each->d_name[0] == '.') continue;
    if (!read_line(from, each->d_name, "type", line, sizeof line) || strncmp(line, "Battery", 7) != 0) continue;
    if (read_line(from, each->d_name, "scope", line, sizeof line) && strncmp(line, "Device", 6) == 0) continue;
    if (!read_line(from, each->d_name, "capacity", line, sizeof line)) continue;
    const long percent = strtol(line, NULL, 10);
    if (percent >= 0 && percent <= 100 && (least < 0 || percent < least)) least = (int)percent;
  }
  closedir(all);
  return least;
}

/* The signal of the first wireless interface, dBm; 0 = none. The level is the fourth column of its line (proc_net(5), "wireless"). */
static int signal_strength(const aiot_vitals_source *from) {
  char path[600], line[256];
  float level = 0;
  snprintf(path, sizeof path, "%s/net/wireless", from->proc);
  FILE *opened = fopen(path, "r");
  if (opened == NULL) return 0;
  bool found = false;
  while (!found && fgets(line, sizeof line, opened) != NULL) found = sscanf(line, " %*[^:|]: %*s %*f %f", &level) == 1;
  fclose(opened);
  return found && level < 0 && level > -256 ? (int)level : 0;
}

void aiot_host_vitals(void *context, aiot_vitals *vitals) {
  const aiot_vitals_source *from = context;
  struct statvfs space;
  vitals->battery_percent = battery(from);
  vitals->rssi_dbm = signal_strength(from);
  if (statvfs(from->folder, &space) == 0) {
    vitals->disk_free = (uint64_t)space.f_bavail * space.f_frsize;
    vitals->disk_total = (uint64_t)space.f_blocks * space.f_frsize;
  }
  vitals->boot = getenv(AIOT_BOOT_VARIABLE);
}
