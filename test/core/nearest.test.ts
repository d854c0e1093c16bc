import { describe, expect, it } from 'vitest';
import { didYouMean, nearest } from '../../src/lib/core/text.js';

describe('the nearest word', () => {
  it.each([
    // One typo each: an extra, missing or wrong character, or two swapped ones.
    ['pumpp', 'pump'],
    ['pum', 'pump'],
    ['punp', 'pump'],
    ['pupm', 'pump'],
    ['trian', 'train'],
    ['porject', 'project'],
    ['reboot', undefined],
    ['', undefined],
  ])('to %s is %s', (word, expected) => {
    expect(nearest(word, ['pump', 'train', 'project', 'fan'])).toBe(expected);
  });

  it('is the first of several equally near words, and never beyond the allowed edits', () => {
    expect(nearest('mator', ['motor', 'meter', 'mater'])).toBe('motor');
    expect(nearest('vibrtaions', ['vibrations-2'], 1)).toBeUndefined();
    expect(nearest('vibrtaions-2', ['vibrations-2'])).toBe('vibrations-2');
  });

  it('does not exist for a word of one character', () => {
    expect(nearest('3', ['0', '1', '2'])).toBeUndefined();
    expect(didYouMean('3', ['0', '1', '2'])).toBe('');
    expect(nearest('p', ['y'])).toBeUndefined();
  });

  it('is added to a sentence only if there is one', () => {
    expect(didYouMean('pumpp', ['pump'])).toBe('. Did you mean pump?');
    expect(didYouMean('fan', ['pump'])).toBe('');
  });

  it('is suggested by the beginning of a name, if only one name begins like it', () => {
    const templates = ['har-imu', 'motor-watch', 'count-parts'];
    expect(didYouMean('moter', templates)).toBe('. Did you mean motor-watch?');
    expect(didYouMean('moter', [...templates, 'motor-2'])).toBe('');
    expect(didYouMean('hur', templates)).toBe('');
    expect(didYouMean('prod', ['staging', 'production'])).toBe('. Did you mean production?');
    expect(didYouMean('prod', ['product', 'production'])).toBe('');
    expect(didYouMean('pro', ['staging', 'production'])).toBe('');
    expect(didYouMean('watch', templates)).toBe('');
  });
});
