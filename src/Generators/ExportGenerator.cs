using System.Collections.Immutable;
using System.Linq;
using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Ringdown.Generators;

/// <summary>Turns each [Export] method into its table entry, its thunk for guest code and its gate for C# drivers,
/// and each [ExportData] property into its table entry.</summary>
[Generator]
public sealed class ExportGenerator : IIncrementalGenerator
{
    public void Initialize(IncrementalGeneratorInitializationContext context)
    {
        var exports = context.SyntaxProvider.ForAttributeWithMetadataName(
            "Ringdown.Kernel.ExportAttribute",
            static (node, _) => node is MethodDeclarationSyntax,
            static (found, _) => Describe((IMethodSymbol)found.TargetSymbol, found.Attributes[0])).Collect();
        var data = context.SyntaxProvider.ForAttributeWithMetadataName(
            "Ringdown.Kernel.ExportDataAttribute",
            static (node, _) => node is PropertyDeclarationSyntax,
            static (found, _) => DescribeData((IPropertySymbol)found.TargetSymbol, found.Attributes[0])).Collect();
        context.RegisterSourceOutput(exports.Combine(data), static (output, all) =>
        {
            // A driver's assembly has none.
            if (!all.Left.IsEmpty) output.AddSource("Exports.g.cs", Write(all.Left, all.Right));
        });
    }

    static (string Name, string Table, string Gate) Describe(IMethodSymbol method, AttributeData export)
    {
        string name = method.Name, owner = method.ContainingType.Name;
        bool returns = !method.ReturnsVoid;
        string parameters = string.Join(", ", method.Parameters.Select(p => $"{Type(p.Type)} @{p.Name}"));
        string arguments = string.Join(", ", method.Parameters.Select(p => "@" + p.Name));
        string raws = string.Join(
            ", ", method.Parameters.Where(p => !IsVarArgs(p)).Select(p => $"Abi.ToRaw(@{p.Name})"));
        string froms = string.Join(", ", method.Parameters.Select((p, i) => FromRaw(p, i)));
        string call = $"nt.{name}({froms})";

        var gate = new StringBuilder();
        gate.AppendLine($"    public {Type(method.ReturnType)} {name}({parameters})");
        gate.AppendLine("    {");
        gate.AppendLine("        if (Loader.IsManaged(Cpu.Rip)) Routines.OnManagedCall();");
        gate.AppendLine($"        if (_observers.Length == 0) {{ {(returns ? "return " : "")}{owner}.{name}({arguments});{(returns ? "" : " return;")} }}");
        gate.AppendLine($"        Enter(Exports.{name}, [{raws}]);");
        gate.AppendLine(returns ? $"        var result = {owner}.{name}({arguments});"
            : $"        {owner}.{name}({arguments});");
        gate.AppendLine($"        Leave(Exports.{name}, {(returns ? "Abi.ToRaw(result)" : "0")});");
        if (returns) gate.AppendLine("        return result;");
        gate.AppendLine("    }");
        gate.AppendLine("}");
        gate.AppendLine("partial class Thunks\n{");
        gate.AppendLine($"    public static void {name}(NtKernel nt, GuestCall call) => "
            + (returns ? $"call.Return(Abi.ToRaw({call}));" : $"{call};"));
        return (name, Line(method, export), gate.ToString());
    }

    // One line of the table: fields with tabs between them, parameters with semicolons.
    static string Line(IMethodSymbol method, AttributeData export)
    {
        object support = export.ConstructorArguments.Length > 0 ? export.ConstructorArguments[0].Value! : 0;
        string missing = export.ConstructorArguments.Length > 1 && export.ConstructorArguments[1].Value is string text
            ? text : "";
        string parameters = string.Join(
            ";", method.Parameters.Select(p => $"{p.Name}:{p.Type.Name}:{Facts(p)}"));
        return string.Join("\t", Module(method.ContainingType, export), method.Name, support, missing,
            Level(method, "IrqlRequiresMinAttribute", 0), Level(method, "IrqlRequiresMaxAttribute", 15),
            method.ReturnType.Name, Facts(method), Has(method, "ParksAttribute") ? 1 : 0, parameters);
    }

    static (string Name, string Table) DescribeData(IPropertySymbol property, AttributeData data)
    {
        object words = data.NamedArguments.FirstOrDefault(a => a.Key == "Words").Value.Value ?? 1;
        string value = $"nt.{property.ContainingType.Name}.{property.Name}";
        string all = property.Type is IArrayTypeSymbol ? value : $"[Abi.ToRaw({value})]";
        string module = Module(property.ContainingType, data), name = property.Name;
        return (name, $"    public static readonly DataExport {name} = new(\"{module}\", \"{name}\", {words}, "
            + $"static nt => {all});");
    }

    static string Module(INamedTypeSymbol owner, AttributeData? export) =>
        export?.NamedArguments.FirstOrDefault(a => a.Key == "Module").Value.Value as string
        ?? (string)owner.GetAttributes().Single(
            a => a.AttributeClass!.Name == "NtModuleAttribute").ConstructorArguments[0].Value!;

    static bool Has(IMethodSymbol method, string attribute) =>
        method.GetAttributes().Any(a => a.AttributeClass!.Name == attribute);

    static object Level(IMethodSymbol method, string attribute, int otherwise) =>
        method.GetAttributes().FirstOrDefault(
            a => a.AttributeClass!.Name == attribute)?.ConstructorArguments[0].Value ?? otherwise;

    static readonly string[] s_facts =
        ["AcquiresLockAttribute", "ReleasesLockAttribute", "AliasesMemAttribute", "FreesMemAttribute"];

    // The flags of the enumeration, in its order.
    static int Facts(ISymbol symbol) =>
        symbol.GetAttributes().Sum(a => System.Array.IndexOf(s_facts, a.AttributeClass!.Name) is >= 0 and var i ? 1 << i : 0);

    static string FromRaw(IParameterSymbol parameter, int index)
    {
        string t = Type(parameter.Type), raw = $"call.Argument({index})";
        if (IsVarArgs(parameter)) return $"call.VarArgs({index})";
        if (parameter.Type.GetAttributes().Any(a => a.AttributeClass?.Name == "LayoutAttribute"))
            return $"{t}.At(nt.Memory, new({raw}))";
        if (parameter.Type.SpecialType == SpecialType.System_Boolean) return $"(byte){raw} != 0";
        bool number = parameter.Type.TypeKind == TypeKind.Enum || parameter.Type.SpecialType != SpecialType.None;
        if (number) return $"({t}){raw}";
        // Va, Handle: one ulong under a name
        return parameter.Type.Name == "NtStatus" ? $"new {t}((uint){raw})" : $"new {t}({raw})";
    }

    static bool IsVarArgs(IParameterSymbol parameter) => parameter.Type.Name == "VarArgs";

    static string Type(ITypeSymbol type) => type.ToDisplayString(SymbolDisplayFormat.FullyQualifiedFormat);

    static string Literal(string text) => "\"" + text.Replace("\\", "\\\\").Replace("\"", "\\\"") + "\"";

    static string Write(
        ImmutableArray<(string Name, string Table, string Gate)> functions,
            ImmutableArray<(string Name, string Table)> data)
    {
        var sorted = functions.OrderBy(e => e.Name, System.StringComparer.Ordinal).ToArray();
        var sortedData = data.OrderBy(e => e.Name, System.StringComparer.Ordinal).ToArray();
        var text = new StringBuilder(
            "// <auto-generated/>\n#nullable enable\n#pragma warning disable\nnamespace Ringdown.Kernel;\n");
        text.AppendLine("public static class Exports\n{");
        text.AppendLine("    const string Table =");
        foreach (var e in sorted) text.AppendLine($"        {Literal(e.Table)} + \"\\n\" +");
        text.AppendLine("        \"\";");
        text.AppendLine("    public static readonly Export[] All = Export.Parse(Table);");
        for (int i = 0; i < sorted.Length; i++)
            text.AppendLine($"    public static Export {sorted[i].Name} => All[{i}];");
        foreach (var e in sortedData) text.AppendLine(e.Table);
        text.AppendLine($"    public static readonly DataExport[] Data = [{string.Join(", ", sortedData.Select(e => e.Name))}];");
        text.AppendLine("}");
        foreach (var e in sorted) text.AppendLine($"partial class NtKernel\n{{\n{e.Gate}}}");
        return text.ToString();
    }
}
