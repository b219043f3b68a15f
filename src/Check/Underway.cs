using Ringdown.Kernel;

namespace Ringdown.Check;

/// <summary>Ends requests in the moment in which they were begun: before a device or a timer has done anything for
/// them.</summary>
static class Underway
{
    /// <returns>Whether the machine still runs.</returns>
    public static bool Exercise(CheckRun run, string path, string what, Action<UserFile> begin) =>
        run.WithFile(path, $"{what}, canceled at once", (_, file) =>
        {
            Begin(file, begin);
            file.Cancel();
        })
        & run.WithFile(path, $"{what}, canceled while one is under way", (session, file) =>
        {
            Begin(file, begin);
            if (!session.Nt.User.CreateFile(path, out UserFile? other).IsSuccess) return;
            Begin(other!, begin);
            other!.Cancel();
            other.Close();
        })
        & run.WithFile(path, $"{what}, closed at once", (_, file) => Begin(file, begin));

    static void Begin(UserFile file, Action<UserFile> begin)
    {
        file.ReturnsAtOnce = true;
        begin(file);
    }
}
