// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/usage.h"

#include "shim/tool/exit_status.h"

#include <algorithm>
#include <charconv>

namespace writewatch::tool {

namespace {

// The verb that was being parsed, or the command itself.
const CLI::App& chosen_verb(const CLI::App& app)
{
    const auto verbs = app.get_subcommands();
    return verbs.empty() ? app : *verbs.front();
}

std::vector<std::string> option_names(const CLI::App& verb)
{
    std::vector<std::string> names;
    for (const CLI::Option* option : verb.get_options()) {
        if (!option->get_lnames().empty())
            names.push_back("--" + option->get_lnames().front());
    }
    return names;
}

std::string unexpected_argument(const CLI::App& app, const CLI::App& verb)
{
    const std::vector<std::string> extras = app.remaining(true);
    const std::string argument = extras.empty() ? "" : extras.front();
    if (argument.rfind('-', 0) == 0)
        return "unknown option '" + argument + "'; allowed: " + join(option_names(verb));
    if (&verb == &app)
        return "unknown verb '" + argument + "'; allowed: " + join(verb_names(app));
    return "unexpected argument '" + argument + "'; allowed: " + join(option_names(verb));
}

// "--log needs a value: none|error|…". The parser's own text begins with the option's name.
std::string missing_value(const CLI::App& verb, const std::string& text)
{
    const std::string name = text.substr(0, text.find(':'));
    const CLI::Option* const option = verb.get_option_no_throw(name);
    if (option == nullptr)
        return text;
    return name + " needs a value: " + option->get_type_name();
}

} // namespace

std::string join(const std::vector<std::string>& words)
{
    std::string text;
    for (const std::string& word : words)
        text += (text.empty() ? "" : ", ") + word;
    return text;
}

std::vector<std::string> verb_names(const CLI::App& app)
{
    std::vector<std::string> names;
    for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
        names.push_back(verb->get_name());
    return names;
}

const std::vector<std::string>& backend_words()
{
    static const std::vector<std::string> words{"auto", "pagemap-scan", "mprotect"};
    return words;
}

CLI::Option* add_word_option(CLI::App& verb, const std::string& name, std::string& value,
                             std::vector<std::string> words, const std::string& description)
{
    std::string type;
    for (const std::string& word : words)
        type += (type.empty() ? "" : "|") + word;
    return verb.add_option(name, value, description)
        ->type_name(type)
        ->check([words = std::move(words)](const std::string& word) -> std::string {
            if (std::find(words.begin(), words.end(), word) != words.end())
                return {};
            return "unknown value '" + word + "'; allowed: " + join(words);
        })
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

CLI::Option* add_pid_option(CLI::App& verb, int& pid)
{
    return verb.add_option("PID", pid, "the Linux number of the process (see: writewatch list)")
        ->check([](const std::string& text) -> std::string {
            int number = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), number);
            if (error == std::errc() && end == text.data() + text.size() && number > 0)
                return {};
            return "'" + text + "' is no process number; 'writewatch list' shows them";
        });
}

UsageError::UsageError(const std::string& what) : ParseError("UsageError", what, exit_usage) {}

std::string usage_message(const CLI::App& app, const CLI::ParseError& error)
{
    const CLI::App& verb = chosen_verb(app);
    std::string text = error.what();
    const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    const bool no_verb = &verb == &app && missing;
    // What is there and should not be says more than what is missing.
    if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
        (missing && !app.remaining(true).empty()))
        text = unexpected_argument(app, verb);
    else if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr)
        text = missing_value(verb, text);
    else if (no_verb)
        text = "no verb; allowed: " + join(verb_names(app));
    return "writewatch: " + (&verb == &app ? "" : verb.get_name() + ": ") + text;
}

} // namespace writewatch::tool
