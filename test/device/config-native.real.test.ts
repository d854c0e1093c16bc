import { nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice } from '../../src/lib/device/native/device.js';
import { configSuite } from '../support/config-suite.js';
import { describeReal } from '../support/real.js';

describeReal('native', 'the configuration of a native device', () => {
  configSuite(async (making) => createNativeDevice({ ...making, program: await nativeProgram() }));
});
