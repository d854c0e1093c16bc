import { join } from 'node:path';
import { describe } from 'vitest';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { configSuite } from '../support/config-suite.js';

describe('the configuration of a virtual device', () => {
  configSuite(({ identityDir, sensor, onEvent }) =>
    createVirtualDevice({
      ...{ identityDir, sensor, onEvent },
      flash: createFlash({ bytes: flashBytesFor(1024 ** 2), file: join(identityDir, 'flash.bin') }),
      configFlash: createFlash({ bytes: flashBytesFor(4096), file: join(identityDir, 'config.bin') }),
    }),
  );
});
