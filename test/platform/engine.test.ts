import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { openEngine } from '../../src/lib/platform/store/engine.js';
import { engineSuite } from './engine-suite.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-engine-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

engineSuite('SQLite', { open: () => openEngine(join(folder, 'state.db')) });
