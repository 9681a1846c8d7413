import { TextField } from '@backstage/ui';
import { useState } from 'react';

/** Takes a reference of the catalog; hands it on once it is entered. */
export function ReferenceField({
  label,
  placeholder,
  value,
  onChange,
}: {
  label: string;
  placeholder: string;
  value: string;
  onChange: (reference: string) => void;
}) {
  const [text, setText] = useState(value);
  const [given, setGiven] = useState(value);
  // What is shown follows the address of the page.
  if (given !== value) {
    setGiven(value);
    setText(value);
  }
  const enter = () => {
    if (text.trim() !== value) onChange(text.trim());
  };
  return (
    <TextField
      className="stagedoor-field"
      label={label}
      placeholder={placeholder}
      value={text}
      onChange={setText}
      onBlur={enter}
      onKeyDown={event => {
        if (event.key === 'Enter') enter();
      }}
    />
  );
}
