import type { Clock } from '../../core/index.js';
import type { I2cBus } from './bus.js';
import type { I2cPlace } from './place.js';
import { simulatedBus } from './simulated/index.js';

/** The bus of a place: the simulated one with the chips that are asked for, or Linux's. @throws AIOT_I2C_PACKAGE, AIOT_I2C_MISSING, AIOT_SENSOR_URL */
export async function openBus(place: I2cPlace, clock: Clock): Promise<I2cBus> {
  if (place.bus === 'sim') {
    const chips = place.chips.map(({ driver, addresses }) => ({ name: driver.name, address: addresses[0]! }));
    return simulatedBus({ chips, clock });
  }
  const { openLinuxBus } = await import('./linux/bus.js');
  return openLinuxBus(place.bus);
}
