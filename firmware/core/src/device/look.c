#include "look.h"

#include "outbox.h"
#include "report.h"

/* Interval between checks while the device is online, ms. */
enum { EVERY_MS = 3600000 };

static bool is_due(aiot_device *device) {
  const uint64_t now = aiot_device_uptime(device);
  if (now - device->looked_at_ms >= EVERY_MS) device->look_due = true;
  if (!device->look_due || device->connection == 0 || device->line.user != NULL || !aiot_keeper_stamped(&device->keeper)) return false;
  device->looked_at_ms = now;
  device->look_due = false;
  return true;
}

bool aiot_device_look(aiot_device *device) {
  aiot_keeper *keeper = &device->keeper;
  if (device->setup.trust == NULL || device->stopped) return false;
  if (!device->looks) {
    if (!is_due(device)) return false;
    device->looks = true;
    device->line.user = keeper;
    aiot_keeper_begin(keeper, AIOT_KIND_MODEL, NULL);
  }
  aiot_error error;
  const aiot_look look = aiot_keeper_step(keeper, &error);
  if (look == AIOT_LOOK_WAITS || look == AIOT_LOOK_WORKS) return look == AIOT_LOOK_WORKS;
  device->looks = false;
  device->line.user = NULL;
  if (look == AIOT_LOOK_FAILED) aiot_device_log(device, "warn", error.message, aiot_code_named(error.code));
  if (look == AIOT_LOOK_DEAD) {
    device->stopped = true;
    aiot_device_tell(device, "died");
  }
  return false;
}
