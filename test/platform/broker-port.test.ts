import { join } from 'node:path';
import { describe } from 'vitest';
import { connectDevice } from '../support/mqtt.js';
import { testPlatform } from '../support/platform.js';
import { brokerSuite } from './broker-suite.js';
import { conformSuite } from './conform-suite.js';

describe('a platform with the embedded broker', () => {
  brokerSuite({
    start: (options) => testPlatform(options),
    device: (own, name, options) => connectDevice(own.platform.urls.mqtts, join(own.folder, name), options),
  });
});

describe('a virtual device that connects to the embedded broker', () => {
  conformSuite();
});
