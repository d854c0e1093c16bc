/** The parts of a property in a JSON Schema that a form uses. The platform validates everything. */
export interface Property {
  type?: unknown;
  enum?: unknown[];
  default?: unknown;
  description?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  writeOnly?: boolean;
}

/** A labeled input for a value of a JSON Schema. An empty text means that there is no value. */
export function Field({
  id,
  name,
  property,
  required,
  value,
  error,
  disabled,
  onChange,
}: {
  id: string;
  name: string;
  property: Property;
  required: boolean;
  value: string;
  /** Why the value is invalid. */
  error?: string | undefined;
  disabled?: boolean | undefined;
  onChange: (text: string) => void;
}) {
  const { description, minimum, maximum, minLength, maxLength, writeOnly } = property;
  const length = { minLength, maxLength };
  const onInput = ({ currentTarget }: { currentTarget: { value: string } }) => onChange(currentTarget.value);
  const notes = [description ? `${id}-about` : '', error ? `${id}-error` : ''].filter(Boolean).join(' ');
  const state = {
    disabled,
    'aria-invalid': error ? true : undefined,
    'aria-describedby': notes || undefined,
  };
  const common = { id, required, value, onInput, ...state };
  const choices = choicesOf(property);
  return (
    <div class="field">
      <label for={id}>
        {name}
        {required ? '' : ' (optional)'}
      </label>
      {choices ? (
        <select {...common}>
          <option value="">{required ? 'Choose …' : ''}</option>
          {choices.map((choice) => (
            <option key={choice} value={choice}>
              {property.type === 'boolean' ? yesOrNo[choice] : choice}
            </option>
          ))}
        </select>
      ) : property.type === 'number' || property.type === 'integer' ? (
        <input
          type="number"
          step={property.type === 'integer' ? 1 : 'any'}
          min={minimum}
          max={maximum}
          {...common}
        />
      ) : property.type === 'string' ? (
        writeOnly ? (
          <input type="password" autocomplete="off" {...length} {...common} />
        ) : (
          <input type="text" autocomplete="off" {...length} {...common} />
        )
      ) : (
        <textarea rows={3} placeholder="JSON" spellcheck={false} {...common} />
      )}
      {description && (
        <small class="soft" id={`${id}-about`}>
          {description}
        </small>
      )}
      {error && (
        <small class="field-error" id={`${id}-error`}>
          {error}
        </small>
      )}
    </div>
  );
}

const yesOrNo: Readonly<Record<string, string>> = { true: 'yes', false: 'no' };

function choicesOf({ type, enum: values }: Property): string[] | null {
  if (type === 'boolean') return ['true', 'false'];
  if (!values) return null;
  return values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value)));
}

/**
 * Returns a field's value: text if the schema expects text, otherwise parsed JSON. Invalid JSON is sent as text, which the platform
 * rejects.
 */
export function parsed(text: string, property: Property | undefined): unknown {
  if (property?.type === 'string' || property?.enum?.includes(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
