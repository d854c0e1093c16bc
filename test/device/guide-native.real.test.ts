import { beforeAll } from 'vitest';
import { simulateNativeGuideBoard } from '../../src/lib/device/guide/native.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { guideBoardSuite } from '../support/guide-boards.js';
import { describeReal } from '../support/real.js';

describeReal('native', "the guide's native boards on the platform", () => {
  beforeAll(() => nativeProgram(), 300_000);
  guideBoardSuite(simulateNativeGuideBoard, ['--native']);
});
