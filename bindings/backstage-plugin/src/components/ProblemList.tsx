import type { Problem } from '../answers.js';
import { Place } from './PolicyList.js';

/** Lists what is wrong or odd, with its place and what to do. */
export function ProblemList({ problems }: { problems: readonly Problem[] }) {
  if (!problems.length) return null;
  return (
    <ul className="stagedoor-list">
      {problems.map(problem => (
        <li key={JSON.stringify(problem)}>
          {problem.file && (
            <>
              <Place
                file={problem.file}
                line={problem.line}
                url={problem.url}
              />
              {': '}
            </>
          )}
          {problem.message}
          {problem.help && (
            <span className="stagedoor-quiet"> ({problem.help})</span>
          )}
        </li>
      ))}
    </ul>
  );
}
