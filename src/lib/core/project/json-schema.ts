import { z } from 'zod';
import { stepsByName, stepsField, stepsInOrder } from './pipeline-schema.js';
import { projectSchema } from './schema.js';

type JsonSchema = z.core.JSONSchema.BaseSchema;

/**
 * aiot.yaml as editors check it, JSON Schema draft 7: each field alone. What several fields say together (`crossChecks`) is not in it.
 */
export function projectJsonSchema(): JsonSchema {
  return z.toJSONSchema(projectSchema, {
    io: 'input',
    target: 'draft-7',
    override: ({ zodSchema, jsonSchema }) => {
      // Zod's own word, which JSON Schema does not know; the pattern beside it says the same.
      if ((jsonSchema.format as string) === 'starts_with') delete jsonSchema.format;
      // Told by a transformation, of which a schema says nothing.
      if ((zodSchema as unknown) === stepsField) jsonSchema.anyOf = [byName(), inner(stepsInOrder)];
    },
  }) as JsonSchema;
}

/** `train:` with nothing after it is a step as it is. */
function byName(): JsonSchema {
  const schema = inner(stepsByName);
  return {
    ...schema,
    additionalProperties: { anyOf: [schema.additionalProperties, { type: 'null' }] } as JsonSchema,
  };
}

function inner(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-7' }) as JsonSchema;
  return rest;
}
