namespace Ringdown.Kernel;

/// <summary>Names against expressions with wild cards, all states of the match at once.</summary>
/// <remarks><c>&lt;</c> (DOS_STAR) matches what * does, but never the last dot; <c>&gt;</c> (DOS_QM) matches one
/// character, or none before a dot and at the end; <c>"</c> (DOS_DOT) a dot, or nothing at the end.</remarks>
static class NameExpression
{
    const char DosStar = '<', DosQm = '>', DosDot = '"';

    public static bool IsWild(char c) => c is '*' or '?' or DosStar or DosQm or DosDot;

    /// <param name="spend">Called for each step of about 64 comparisons.</param>
    public static bool Matches(ReadOnlySpan<char> expression, ReadOnlySpan<char> name, Action spend)
    {
        if (expression.IsEmpty || name.IsEmpty) return expression.IsEmpty && name.IsEmpty;
        bool[] states = new bool[expression.Length + 1], next = new bool[expression.Length + 1];
        states[0] = true;
        int lastDot = name.LastIndexOf('.');
        for (int i = 0; i < name.Length; i++)
        {
            for (int cost = 0; cost <= expression.Length; cost += 64) spend();
            Pass(expression, states, name[i]);
            Array.Clear(next);
            for (int s = 0; s < expression.Length; s++)
                if (states[s]) Consume(expression[s], name[i], i == lastDot, s, next);
            (states, next) = (next, states);
        }
        Pass(expression, states, null);
        return states[^1];
    }

    // What may match nothing in front of a character; null: at the end of the name.
    static void Pass(ReadOnlySpan<char> expression, bool[] states, char? before)
    {
        for (int s = 0; s < expression.Length; s++)
        {
            if (!states[s]) continue;
            states[s + 1] |= expression[s] switch
            {
                '*' or DosStar => true,
                DosQm => before is null or '.',
                DosDot => before is null,
                _ => false,
            };
        }
    }

    static void Consume(char expected, char c, bool isLastDot, int state, bool[] next)
    {
        if (expected == '*' || expected == DosStar && !isLastDot) next[state] = true;
        else if (expected == '?' || expected == DosQm && c != '.' || expected == DosDot && c == '.' || expected == c)
            next[state + 1] |= expected is not (DosStar or DosQm) || expected == DosQm && c != '.';
    }
}
