import { testPlatform } from '../support/platform.js';
import { eventSuite } from './event-suite.js';

eventSuite(() => testPlatform());
