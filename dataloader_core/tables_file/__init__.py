"""``tables.yaml``: tables as a file that teams keep in git, beside the rows that they write with SQL.

Reading, checking and comparing never touch a source; only the comparison needs the control database.
"""

from dataloader_core.tables_file.changes import FieldChange, TableChange, changes
from dataloader_core.tables_file.checking import Known, check
from dataloader_core.tables_file.problems import Problem, TablesFileError
from dataloader_core.tables_file.reading import Entry, read

__all__ = ["Entry", "FieldChange", "Known", "Problem", "TableChange", "TablesFileError", "changes", "check", "read"]
