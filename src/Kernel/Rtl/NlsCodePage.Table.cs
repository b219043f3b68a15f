namespace Ringdown.Kernel;

sealed partial class NlsCodePage
{
    // Bytes 80 to FF of code page 437, the first PC's.
    const string Oem437 =
        "ÇüéâäàåçêëèïîìÄÅ" +
        "ÉæÆôöòûùÿÖÜ¢£¥₧ƒ" +
        "áíóúñÑªº¿⌐¬½¼¡«»" +
        "░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
        "└┴┬├─┼╞╟╚╔╩╦╠═╬╧" +
        "╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀" +
        "αßΓπΣσµτΦΘΩδ∞φε∩" +
        "≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00A0";

    // Bytes 80 to 9F of code page 1252; from A0 on it is Latin 1.
    const string Ansi1252 =
        "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008DŽ\u008F" +
        "\u0090‘’“”•–—˜™š›œ\u009DžŸ";

    // For U+00C0 to U+017F: the letter below the accent, for a code page that has no such letter with it.
    const string BestFit =
        "AAAAAA?CEEEEIIIIDNOOOOOxOUUUUY_?aaaaaa?ceeeeiiiidnooooo?ouuuuy_y" +
        "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi??JjKk?LlLlLl?" +
        "?LlNnNnNn???OoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZz?";
}
