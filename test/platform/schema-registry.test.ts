import { describe } from 'vitest';
import { testPlatform } from '../support/platform.js';
import { schemaRegistrySuite } from './schema-registry-suite.js';

describe('the schema registry', () => {
  schemaRegistrySuite(async () => {
    const own = await testPlatform();
    return { own, urls: [own.platform.urls.http] };
  });
});
