import { Alert, Skeleton } from '@backstage/ui';
import type { ReactNode } from 'react';

import { StagedoorApiError } from '../api.js';
import type { QuestionState } from '../useAnswer.js';
import { ProblemList } from './ProblemList.js';

/** Shows an answer once it is there; before that that it is awaited, or why there is none. */
export function Answered<Answer>({
  asked,
  children,
}: {
  asked: QuestionState<Answer>;
  children: (answer: Answer) => ReactNode;
}) {
  switch (asked.state) {
    case 'idle':
      return null;
    case 'pending':
      return (
        <div role="status" aria-label="Loading">
          <Skeleton width="100%" height={24} />
          <Skeleton width="60%" height={24} />
        </div>
      );
    case 'failed':
      return <Failure error={asked.error} />;
    default:
      return <>{children(asked.answer)}</>;
  }
}

/** Says why there is no answer. */
export function Failure({ error }: { error: Error }) {
  const isDenied = error instanceof StagedoorApiError && error.status === 403;
  const problems = error instanceof StagedoorApiError ? error.problems : [];
  return (
    <div role="alert">
      <Alert
        status={isDenied ? 'info' : 'danger'}
        icon
        title={isDenied ? 'Not permitted' : 'No answer'}
        description={error.message}
      />
      <ProblemList problems={problems} />
    </div>
  );
}
