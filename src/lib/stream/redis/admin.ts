import type { CheckResult, StreamAdmin, TopicState } from '../broker/admin.js';
import type { StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { connectRedis, type RedisClient, redisSettings } from './client.js';

/** Maximum number of keys examined; a database may have millions. */
const mostKeys = 10_000;

/**
 * Opens access to a Redis server's information about itself, and to its keys.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
 */
export async function openRedisAdmin(url: StreamUrl, options: StreamOptions): Promise<StreamAdmin> {
  const { key } = redisSettings(url, options);
  const client = await connectRedis(url, options);
  return {
    endpoint: url.endpoint,
    topics: () => topics(client, key || '*'),
    check: () => check(client, key),
    close: () => client.close(),
  };
}

async function topics(client: RedisClient, pattern: string): Promise<TopicState[]> {
  const found: TopicState[] = [];
  let cursor = '0';
  do {
    const [reply] = await client.run([['SCAN', cursor, 'MATCH', pattern, 'COUNT', '500']]);
    const [next, keys] = reply as [string, string[]];
    cursor = next;
    found.push(...keys.map((topic) => ({ topic })));
  } while (cursor !== '0' && found.length < mostKeys);
  return found.sort((a, b) => (a.topic < b.topic ? -1 : 1));
}

async function check(client: RedisClient, key: string): Promise<CheckResult[]> {
  const info = await infoOf(client);
  const results: CheckResult[] = [
    { what: 'login', state: 'ok', detail: `Redis ${info.redis_version ?? '?'}, ${info.role ?? '?'}` },
  ];
  const full = info.maxmemory_policy === 'noeviction' ? 'rejects writes' : 'evicts keys';
  const limit = Number(info.maxmemory ?? 0);
  results.push({
    what: 'memory',
    state: 'ok',
    detail:
      limit === 0
        ? `${info.used_memory_human ?? '?'}, without a limit`
        : `${info.used_memory_human} of ${info.maxmemory_human}; when full it ${full} (${info.maxmemory_policy})`,
  });
  const kept =
    info.aof_enabled === '1' ? 'every write (AOF)' : 'only snapshots: a crash loses the last minutes';
  results.push({ what: 'persistence', state: info.aof_enabled === '1' ? 'ok' : 'no', detail: kept });
  if (info.role === 'slave') {
    results.push({ what: 'writing', state: 'failed', detail: 'this is a replica: write to its primary' });
  }
  if (key === '') return results;
  const [type] = await client.run([['TYPE', key]]);
  results.push({
    what: `key ${key}`,
    state: 'ok',
    detail: type === 'none' ? 'no data yet' : `a ${type}`,
  });
  return results;
}

/**
 * The `name:value` lines of INFO. A user without permission for INFO (ACL) gets no lines, but may still be able to
 * write.
 */
async function infoOf(client: RedisClient): Promise<Record<string, string>> {
  const [text] = await client.run([['INFO']]).catch(() => ['']);
  const pairs = String(text)
    .split('\r\n')
    .filter((line) => line.includes(':'))
    .map((line) => line.split(/:(.*)/s).slice(0, 2) as [string, string]);
  return Object.fromEntries(pairs);
}
