import { describe, expect, it } from 'vitest';
import { maskSecrets } from '../../src/lib/core/mask.js';

describe('maskSecrets', () => {
  it.each([
    ['connecting with password=hunter2 to plant', 'connecting with password=*** to plant'],
    ['wifi_psk: "correct horse battery"', 'wifi_psk: ***'],
    [`{"apiKey":"a1b2","rate":5}`, `{"apiKey":***,"rate":5}`],
    ['MQTT_TOKEN=abc.def&next=1', 'MQTT_TOKEN=***&next=1'],
    ['mqtts://ana:s3cret@broker.example:8883/x', 'mqtts://***@broker.example:8883/x'],
    ['Authorization: Bearer abcdef123456', 'Authorization: Bearer ***'],
    ['sent bearer abcdef123456', 'sent bearer ***'],
    ['-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----', '***'],
    ['-----BEGIN PRIVATE KEY-----\nMHcCAQ', '***'],
    ['jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl', 'jwt ***'],
  ])('hides the secret in %s', (text, masked) => {
    expect(maskSecrets(text)).toBe(masked);
  });

  it.each([
    'tokenizer read 12 words',
    'window 4 of motion@3: walking',
    'http://broker.example:8883/x?at=5',
    'E (123) wifi: AUTH_EXPIRE',
  ])('leaves %s as it is', (text) => {
    expect(maskSecrets(text)).toBe(text);
  });

  it('takes no longer for texts made to slow it down', () => {
    const hostile = [`${'a_'.repeat(30_000)}password`, `token${' '.repeat(60_000)}`, 'eyJ'.repeat(20_000)];
    const started = performance.now();
    for (const text of hostile) maskSecrets(text);
    expect(performance.now() - started).toBeLessThan(3000);
  });
});
