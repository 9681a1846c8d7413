import { Badge } from '@backstage/ui';

import type { Result } from '../answers.js';

const WORDS: Record<Result, string> = {
  ALLOW: '✓ allowed',
  DENY: '✕ denied',
  CONDITIONAL: '◐ for some',
};

/** Says a result, by word and sign as well as by colour. */
export function ResultBadge({ result }: { result: Result }) {
  return (
    <Badge className="stagedoor-result" data-result={result}>
      {WORDS[result]}
    </Badge>
  );
}
