import { mosquittoAlone } from '../mosquitto.js';
import type { NamedSecret, SecretFile, SecretSource } from '../secrets/index.js';
import type { ServiceValues, Values } from '../values/index.js';

/** The same secrets as Compose takes them: a value a file for who reads files, NAME=value lines for our own processes. */
export function secretFilesOf(values: Values, secrets: readonly NamedSecret[]): SecretFile[] {
  const { platform, database, services } = values;
  const here = values.objects && values.objects.endpoint === undefined;
  return secrets.flatMap(({ name, form, values: from }): SecretFile[] => {
    if (form !== 'env') return [{ file: `${name}.conf`, form, values: from }];
    if (name === 'platform') return [{ file: 'platform.env', form, values: platformVariables(values, from) }];
    if (name === 'database') return raw('database_password', from.password);
    if (name === 'objects' && here) {
      return [...raw('objects_user', from.user), ...raw('objects_password', from.password)];
    }
    if (name === 'broker' && mosquittoAlone(values)) return raw('broker_programs', from.programs);
    const service = Object.hasOwn(services, name) ? services[name] : undefined;
    return service ? [{ file: `${name}.env`, form, values: { ...from, ...composed(service, from) } }] : [];
  });

  function platformVariables(
    { objects }: Values,
    from: Readonly<Record<string, SecretSource>>,
  ): Record<string, SecretSource> {
    const keys = secrets.find(({ name }) => name === 'objects')?.values;
    if (!platform) return {};
    return {
      AIOT_DATABASE: database
        ? {
            parts: [
              { text: 'postgres://aiot:' },
              { made: 'DATABASE_PASSWORD' },
              { text: '@database:5432/aiot' },
            ],
          }
        : from.database!,
      AIOT_PLATFORM_SECRET: from.secret!,
      ...(objects && keys ? { AWS_ACCESS_KEY_ID: keys.user!, AWS_SECRET_ACCESS_KEY: keys.password! } : {}),
    };
  }
}

/** `$(NAME)` in a service's env: Kubernetes fills it where it starts, here it is filled where secrets are made. */
export const isComposed = (value: string) => /\$\([A-Z][A-Z0-9_]*\)/.test(value);

function composed(
  { env }: ServiceValues,
  from: Readonly<Record<string, SecretSource>>,
): Record<string, SecretSource> {
  const filled = Object.entries(env).filter(([, value]) => isComposed(value));
  return Object.fromEntries(
    filled.map(([key, value]) => {
      const parts = value
        .split(/(\$\([A-Z][A-Z0-9_]*\))/)
        .filter((part) => part !== '')
        .map((part): SecretSource => {
          const source = isComposed(part) ? from[part.slice(2, -1)] : undefined;
          return source ?? { text: part };
        });
      return [key, { parts }];
    }),
  );
}

const raw = (file: string, from: SecretSource | undefined): SecretFile[] =>
  from === undefined ? [] : [{ file, form: 'raw', values: { value: from } }];
