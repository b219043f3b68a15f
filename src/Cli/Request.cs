using System.Globalization;
using Ringdown.Kernel;

namespace Ringdown.Cli;

/// <summary>A command line that cannot be used. The message says what to do.</summary>
sealed class UsageException(string message) : Exception(message);

/// <summary>One request of <c>ringdown run</c>, as its quoted word says.</summary>
abstract record Request(string Text)
{
    /// <summary>The result of a request on a file; null for open and close, whose status is <paramref
    /// name="status"/>.</summary>
    public abstract UserRequest? Send(NtKernel nt, ref UserFile? file, out NtStatus status);

    /// <summary>The same for a driver's device that is opened by <paramref name="path"/>; null: it has none.</summary>
    public virtual Request On(string? path) => this;

    public static Request Parse(string text)
    {
        string[] words = text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0) throw new UsageException("A request is empty; write for example \"open \\\\.\\Echo\".");
        string[] rest = words[1..];
        return words[0].ToLowerInvariant() switch
        {
            "open" => new Open(text, rest.Length == 0 ? "" : One(text, rest)),
            "read" => new Read(text, (uint)Number(One(text, rest))),
            "write" => new Write(text, Hex(One(text, rest))),
            "ioctl" => ParseIoctl(text, rest),
            "flush" when rest.Length == 0 => new Flush(text),
            "cancel" when rest.Length == 0 => new Cancel(text),
            "serve" when rest.Length == 0 => new Serve(text),
            "close" when rest.Length == 0 => new Close(text),
            _ => throw new UsageException($"\"{text}\" is no request. There are: open [PATH], read LENGTH, write HEX, "
                + "ioctl CODE [in=HEX] [out=LENGTH], flush, cancel, serve, close."),
        };
    }

    static Ioctl ParseIoctl(string text, string[] words)
    {
        if (words.Length == 0)
            throw new UsageException(
                $"\"{text}\" names no control code; write for example \"ioctl 0x222004 in=cafe out=64\".");
        byte[] input = [];
        uint output = 0;
        foreach (string word in words[1..])
        {
            if (word.StartsWith("in=", StringComparison.Ordinal)) input = Hex(word[3..]);
            else if (word.StartsWith("out=", StringComparison.Ordinal)) output = (uint)Number(word[4..]);
            else throw new UsageException($"\"{word}\" in \"{text}\" is neither in=HEX nor out=LENGTH.");
        }
        return new Ioctl(text, (uint)Number(words[0]), input, output);
    }

    static string One(string text, string[] words) =>
        words.Length == 1 ? words[0] : throw new UsageException($"\"{text}\" needs exactly one word behind the verb.");

    /// <summary>Hexadecimal with 0x, else decimal; at most 32 bits.</summary>
    public static long Number(string text)
    {
        bool hex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        bool read = uint.TryParse(
            hex ? text[2..] : text, hex ? NumberStyles.HexNumber
                : NumberStyles.None, CultureInfo.InvariantCulture, out uint number);
        return read ? number
            : throw new UsageException(
                $"\"{text}\" is no number: write decimal digits, or hexadecimal ones behind 0x.");
    }

    static byte[] Hex(string text)
    {
        try
        {
            return Convert.FromHexString(text);
        }
        catch (FormatException)
        {
            throw new UsageException($"\"{text}\" is not hexadecimal: write two digits a byte, such as 48656c6c6f.");
        }
    }

    static UserFile Opened(UserFile? file) =>
        file ?? throw new UsageException("No file is open. Put a request \"open \\\\.\\Name\" first.");

    sealed record Open(string Text, string Path) : Request(Text)
    {
        public override Request On(string? path) => Path.Length > 0 ? this : this with
        {
            Path = path ?? throw new UsageException(
                "The driver has no device that \"open\" could find: write its name."),
        };

        public override UserRequest? Send(NtKernel nt, ref UserFile? file, out NtStatus status)
        {
            file?.Close();
            status = nt.User.CreateFile(Path, out file);
            return null;
        }
    }

    sealed record Read(string Text, uint Length) : Request(Text)
    {
        public override UserRequest? Send(NtKernel nt, ref UserFile? file, out NtStatus status) =>
            Result(Opened(file).Read(Length), out status);
    }

    sealed record Write(string Text, byte[] Data) : Request(Text)
    {
        public override UserRequest? Send(NtKernel nt, ref UserFile? file, out NtStatus status) =>
            Result(Opened(file).Write(Data), out status);
    }

    sealed record Ioctl(string Text, uint Code, byte[] Input, uint Output) : Request(Text)
    {
        public override UserRequest? Send(NtKernel nt, ref UserFile? file, out NtStatus status) =>
            Result(Opened(file).DeviceIoControl(Code, Input, Output), out status);
    }

    sealed record Flush(string Text) : Request(Text)
    {
        public override UserRequest? Send(NtKernel nt, ref UserFile? file, out NtStatus status) =>
            Result(Opened(file).Flush(), out status);
    }

    sealed record Cancel(string Text) : Request(Text)
    {
        public override UserRequest? Send(NtKernel nt, ref UserFile? file, out NtStatus status)
        {
            // CancelIoEx: nothing to cancel is an error, ERROR_NOT_FOUND.
            status = Opened(file).Cancel() > 0 ? Status.STATUS_SUCCESS : Status.STATUS_NOT_FOUND;
            return null;
        }
    }

    sealed record Serve(string Text) : Request(Text)
    {
        public override UserRequest? Send(NtKernel nt, ref UserFile? file, out NtStatus status)
        {
            nt.User.Serve();
            status = Status.STATUS_SUCCESS;
            return null;
        }
    }

    sealed record Close(string Text) : Request(Text)
    {
        public override UserRequest? Send(NtKernel nt, ref UserFile? file, out NtStatus status)
        {
            UserFile closing = Opened(file);
            file = null;
            status = closing.Close();
            return null;
        }
    }

    static UserRequest Result(UserRequest request, out NtStatus status)
    {
        status = request.Status;
        return request;
    }
}
