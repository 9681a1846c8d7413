import { Link } from '@backstage/ui';

import type { PolicyPlace } from '../answers.js';

/** Says where something stands, as a link if that is known. */
export function Place({
  file,
  line,
  url,
}: {
  file: string;
  line?: number | null | undefined;
  url?: string | undefined;
}) {
  const text = line ? `${file}:${line}` : file;
  if (!url) return <code>{text}</code>;
  return (
    <Link href={url} target="_blank" rel="noopener noreferrer">
      <code>{text}</code>
    </Link>
  );
}

/** Lists policies with what they are for and where they stand. */
export function PolicyList({
  policies,
  label,
}: {
  policies: readonly PolicyPlace[];
  label: string;
}) {
  return (
    <ul className="stagedoor-list" aria-label={label}>
      {policies.map(({ id, effect, file, line, doc, url }) => (
        <li key={id}>
          <strong>{id}</strong>
          {` ${effect === 'permit' ? 'permits' : 'forbids'}, `}
          <Place file={file} line={line} url={url} />
          {doc && <div className="stagedoor-quiet">{doc}</div>}
        </li>
      ))}
    </ul>
  );
}
