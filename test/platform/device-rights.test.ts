import { testPlatform } from '../support/platform.js';
import { deviceRightsSuite } from './device-rights-suite.js';

deviceRightsSuite(() => testPlatform());
